# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What is made of a chunk's latents while the network goes on: frames, and quick looks for those who wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lingbot_core.errors import LingBotError
from lingbot_core.preview import Previewer
from lingbot_core.stats import DeviceMark, StageTimer
from lingbot_core.streams import side_stream

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnTheWay:
    """Tensors on their way to host memory."""

    tensors: tuple[Tensor, ...]
    """Not to be read before :meth:`wait` returns."""

    ready: DeviceMark
    """When they are there."""

    def wait(self) -> tuple[Tensor, ...]:
        """The tensors."""
        self.ready.wait()
        return self.tensors


class SideWork:
    """Work on latents, on CUDA on a stream of its own.

    Args:
        device: Where the latents are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = side_stream(device, "decode") if device.type == "cuda" else None

    def start(self, latents: Tensor, stage: str, timer: StageTimer, work: Callable[[], tuple[Tensor, ...]]) -> OnTheWay:
        """Start work on latents behind what has been launched so far, and take its results to the host."""
        stream = self._stream
        if stream is None:
            with timer.stage(stage):
                return OnTheWay(work(), DeviceMark(self._device))
        stream.wait_stream(torch.cuda.current_stream(self._device))
        latents.record_stream(stream)
        with torch.cuda.stream(stream), timer.stage(stage):
            results = work()
            copies = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in results)
            for copy, tensor in zip(copies, results, strict=True):
                copy.copy_(tensor, non_blocking=True)
            return OnTheWay(copies, DeviceMark(self._device))


class Previews:
    """Previews of one request's chunks, each handed out once.

    Args:
        previewer: Makes them; None makes none.
        side_work: Runs that.
    """

    def __init__(self, previewer: Previewer | None, side_work: SideWork) -> None:
        self._previewer, self._side_work = previewer, side_work
        self._started: dict[int, OnTheWay] = {}

    def start(self, keys: Sequence[str], index: int, latents: Tensor, timer: StageTimer) -> None:
        """Start making that of a chunk; a failure stops nothing.

        Args:
            keys: Of all chunks of the rollout.
            index: Chunk index.
            latents: Its latents, on the device.
            timer: Of the chunk.
        """
        previewer = self._previewer
        if previewer is None:
            return
        before = keys[index - 1] if index else None
        try:
            self._started[index] = self._side_work.start(
                latents, "preview", timer, lambda: (previewer.frames(before, keys[index], latents),)
            )
        except (LingBotError, torch.cuda.OutOfMemoryError) as error:
            _log.warning("There is no preview of chunk %d. %s", index, error)

    def take(self, index: int) -> np.ndarray | None:
        """That of a chunk, uint8 ``[F, h, w, 3]``, if it was started and not taken yet; waits for it."""
        started = self._started.pop(index, None)
        return None if started is None else started.wait()[0].numpy()
