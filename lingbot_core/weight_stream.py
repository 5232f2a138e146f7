# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""From the tensors of a checkpoint to the memory of a model, one at a time.

Several ranks that load the same model share the reading: each tensor is read by one of them, which
sends it to the others. Each rank reads its next tensor while tensors of others arrive.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lingbot_core.context_parallel import ONE_RANK, ContextParallel
from lingbot_core.errors import WeightsError, stop_if
from lingbot_core.kernels.fp8 import quantise_rows
from lingbot_core.layouts.base import CheckpointView, Layout, TensorSource, scale_name
from lingbot_core.models.linear import Fp8Linear
from lingbot_core.readers import TensorReader, describe

SECONDS_BETWEEN_MESSAGES = 5.0
"""Progress is put into words this often at most."""


@dataclass(frozen=True)
class StreamProgress:
    """How far a checkpoint has been read."""

    done_bytes: int
    """Bytes read, in the file's dtype."""

    total_bytes: int
    """Bytes to read."""


class SpokenProgress:
    """Turns the progress of reading into a sentence now and then.

    Args:
        say: Told the sentence.
        doing: How it begins, such as "Loading the network".
    """

    def __init__(self, say: Callable[[str], None], doing: str) -> None:
        self._say, self._doing, self._last_sec = say, doing, time.monotonic()

    def __call__(self, progress: StreamProgress) -> None:
        """Say how far it is, unless something was said a moment ago."""
        if time.monotonic() - self._last_sec >= SECONDS_BETWEEN_MESSAGES:
            self._last_sec = time.monotonic()
            self._say(f"{self._doing}: {progress.done_bytes / 1e9:.1f} of {progress.total_bytes / 1e9:.1f} GB")


def stream_tensors(
    reader: TensorReader,
    layout: Layout[Any],
    views: Mapping[str, CheckpointView],
    *,
    on_tensor: Callable[[str, Tensor], None] | None = None,
    on_progress: Callable[[StreamProgress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    parallel: ContextParallel = ONE_RANK,
) -> None:
    """Fill a model from a checkpoint, one tensor in memory at a time, in file order.

    Args:
        reader: Where the tensors are.
        layout: Which key holds which native tensor, as ``identify`` found it.
        views: Where each native tensor goes, from ``checkpoint_views()``; their dtype
            and device decide the cast and the copy.
        on_tensor: Called with each native name and its tensor as read (CPU, file dtype); where the
            model has it in 8 bits, with the values as stored and then their scales (any device);
            where another rank has read it, with what the model holds (its device and dtype).
        on_progress: Called after each tensor.
        cancelled: Asked before each tensor and while it is read; not with several ranks, which would fall out of step.
        parallel: The ranks that fill the same model from the same files, all by this function. Each
            keeps one more tensor in memory, which it reads ahead.

    Raises:
        Cancelled: ``cancelled`` returned True; the model is half filled.
        WeightsError: A tensor is missing, or is not of the shape that the model has; or the
            ranks read different files.
    """
    assert cancelled is None or parallel.size == 1, parallel.size
    shapes, dtypes = reader.shapes(), reader.dtypes()
    _check_shapes(reader, layout, views)
    position = {key: index for index, key in enumerate(shapes)}
    ordered = sorted(views, key=lambda name: position[layout.sources[name].key])
    num_bytes = {
        name: torch.Size(views[name].shape).numel() * dtypes[layout.sources[name].key].itemsize for name in ordered
    }
    owners = dict(zip(ordered, split_reading([num_bytes[name] for name in ordered], parallel.size), strict=True))
    device = next((view.target.device for view in views.values()), torch.device("cpu"))
    _check_same_files(reader, [f"{name} {num_bytes[name]}" for name in ordered], parallel, device)
    own = [name for name in ordered if owners[name] == parallel.rank]
    done, total = 0, sum(num_bytes.values())

    def read(name: str) -> tuple[Tensor, ...]:
        return _read(reader, layout.sources[name], cancelled, in_8_bits=views[name].scale is not None)

    with torch.no_grad(), closing(_read_each(read, own, ahead=parallel.size > 1)) as tensors:
        for name in ordered:
            stop_if(cancelled, "Stopped while weights were read.")
            view = views[name]
            parts = {name: view.target.detach()}
            if view.scale is not None:
                parts[scale_name(name)] = view.scale.detach()
            held = parts
            if owners[name] == parallel.rank:
                held = dict(zip(parts, _in_the_models_form(next(tensors), view), strict=True))
                for part, target in parts.items():
                    _store(target, held[part])
            for target in parts.values():
                _share(target, parallel, owners[name])
            if on_tensor is not None:
                for part, tensor in held.items():
                    on_tensor(part, tensor.reshape(view.shape) if part == name else tensor)
            done += num_bytes[name]
            if on_progress is not None:
                on_progress(StreamProgress(done, total))


def split_reading(num_bytes: Sequence[int], num_ranks: int) -> list[int]:
    """Which rank reads each tensor: the one that has read least until then, the first of several."""
    totals, owners = [0] * num_ranks, []
    for size in num_bytes:
        owners.append(totals.index(min(totals)))
        totals[owners[-1]] += size
    return owners


def materialize(
    module: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype,
    elsewhere: Callable[[], Mapping[int, Tensor]] = dict,
) -> None:
    """Give a module that was built on ``meta`` uninitialised memory on a device.

    Args:
        module: Parameters and buffers without memory, in any floating dtype.
        device: Where the memory is.
        dtype: What floating tensors become, but for weights in 8 bits and their scales.
        elsewhere: Gives the memory of parameters that are to be somewhere else, by their ``id``; called when all
            have their dtype.
    """
    kept = {id(tensor) for part in module.modules() if isinstance(part, Fp8Linear) for tensor in part.fixed_dtype()}
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point() and id(tensor) not in kept:
            tensor.data = tensor.data.to(dtype)  # on meta: free
    given = elsewhere()
    module._apply(lambda tensor: given[id(tensor)] if id(tensor) in given else torch.empty_like(tensor, device=device))
    module.eval().requires_grad_(False)


def _check_shapes(reader: TensorReader, layout: Layout[Any], views: Mapping[str, CheckpointView]) -> None:
    """Raise when a tensor is missing, or is not of the shape that the model has."""
    shapes = reader.shapes()
    for name, view in views.items():
        source = layout.sources.get(name)
        if source is None or source.key not in shapes:
            raise WeightsError(f"The tensor {name} is missing from {describe(reader)}.")
        got = _shape_as_read(shapes[source.key], source)
        if got != tuple(view.shape):
            raise WeightsError(
                f"The tensor {name} in {describe(reader)} has the wrong shape.",
                got=str(list(got)),
                need=str(list(view.shape)),
            )


def _check_same_files(
    reader: TensorReader, contents: Sequence[str], parallel: ContextParallel, device: torch.device
) -> None:
    """Raise on a rank whose files are not those of rank 0: tensors would go to the wrong places."""
    if parallel.size == 1:
        return
    digest = hashlib.blake2b("\n".join([reader.identity(), *contents]).encode(), digest_size=7).digest()
    mine = int.from_bytes(digest, "little")
    first = torch.tensor([mine], device=device)
    parallel.broadcast(first)
    if first.item() != mine:
        raise WeightsError(
            f"Rank {parallel.rank} reads other files than rank 0.",
            got=describe(reader),
            do="Give all machines the same model files, and the same copies of them or none.",
        )


def _share(target: Tensor, parallel: ContextParallel, source: int) -> None:
    """Overwrite a part of a model by what it is on rank ``source``."""
    if parallel.size == 1:
        return
    memory = target if target.is_contiguous() else target.contiguous()
    parallel.broadcast(memory, source)
    if memory is not target:
        target.copy_(memory)


def _read_each(
    read: Callable[[str], tuple[Tensor, ...]], names: Sequence[str], *, ahead: bool
) -> Generator[tuple[Tensor, ...], None, None]:
    """What ``read`` gives for each name; with ``ahead`` the next one is read while the consumer has one."""
    if not ahead:
        yield from map(read, names)
        return
    with ThreadPoolExecutor(1, "reading weights") as pool:
        following = pool.submit(read, names[0]) if names else None
        for name in [*names[1:], None]:
            if following is not None:
                tensors = following.result()
                following = None if name is None else pool.submit(read, name)
                yield tensors
                del tensors  # not to be held beside the two that come next


def _store(target: Tensor, tensor: Tensor) -> None:
    """Copy a tensor into a model, casting on the accelerator when there is one."""
    if target.device.type != "cpu":
        tensor = tensor.to(target.device)
    target.copy_(tensor.reshape(target.shape))


def _read(
    reader: TensorReader, source: TensorSource, cancelled: Callable[[], bool] | None, *, in_8_bits: bool
) -> tuple[Tensor, ...]:
    """One native tensor on the CPU, unscaled and cut as its source says.

    With ``in_8_bits``, what is stored in 8 bits stays as it is, and its scale follows.
    """
    if in_8_bits and source.scale_key is not None and reader.dtypes()[source.key] == torch.float8_e4m3fn:
        return reader.read(source.key, cancelled), reader.read(source.scale_key)
    tensor = reader.read(source.key, cancelled)
    if source.scale_key is not None:
        tensor = tensor.float() * reader.read(source.scale_key).float()
    return (tensor if source.last_rows is None else tensor[-source.last_rows :],)


def _in_the_models_form(tensors: tuple[Tensor, ...], view: CheckpointView) -> tuple[Tensor, ...]:
    """What was read, or where the model has it in 8 bits, values and scales: of the bf16 value, whatever the source."""
    if view.scale is None or len(tensors) == 2:
        return tensors
    return tuple(quantise_rows(tensors[0].to(view.target.device).bfloat16()))


def _shape_as_read(shape: tuple[int, ...], source: TensorSource) -> tuple[int, ...]:
    return shape if source.last_rows is None else (min(shape[0], source.last_rows), *shape[1:])
