# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The network's passes over fixed memory, on a GPU from recorded CUDA graphs.

A pass is six hundred launches, which the host needs longer to issue than a GPU takes on small
frames. A CUDA graph issues them at once. It replays fixed addresses, so all inputs of a pass have
memory of their own that is copied into: tokens, timestep, cameras, text, rotation and the rows of
the KV ring. A graph depends on nothing else but how much of the ring is visible. So there are two
per visible length, one for denoising and one for the cache update, and they serve every later
chunk, text and rollout of the same frame size. Results are the same bits with and without.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import torch
from torch import Tensor

from lingbot_core.kernels.attention import Choice, choose
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import CameraModulation, RopeAngles, TextContext, TimestepModulation
from lingbot_core.schedule import Schedule
from lingbot_core.streams import side_stream
from lingbot_core.transfer import to_device

_log = logging.getLogger(__name__)

VARIABLE = "LINGBOT_CUDA_GRAPHS"
"""Environment variable; ``0`` switches CUDA graphs off."""

NOISE_FEATURES = 64
"""Noise values per token: 16 latent channels of 2x2 cells. They come first in a token."""


class NetworkPasses:
    """The passes of one network over one KV ring.

    Order of use, per chunk, between ``cache.begin_chunk`` and ``cache.commit_chunk``::

        set_text(...)                       # does nothing when the text is the one before
        begin_chunk(index, condition, camera)
        denoise(noisy, step)                # for each step; before the next pass, use what it returned
        update_cache(clean)

    Args:
        dit: The network.
        cache: Its KV ring. If it is split over several ranks, so are the passes: all ranks call the same methods,
            in the same order and with the same arguments, and all get the same results.
        schedule: Timestep of each pass.
        grid: Token rows and columns of a latent frame.
    """

    def __init__(self, dit: LingBotDiT, cache: SinkWindowKVCache, schedule: Schedule, grid: tuple[int, int]) -> None:
        self._dit, self._cache, self._schedule, self._grid = dit, cache, schedule, grid
        self._parallel = cache.parallel
        self._rows = cache.parallel.local_rows(cache.tokens_per_chunk)
        config, num_tokens = dit.config, cache.parallel.num_local_tokens(cache.tokens_per_chunk)
        weight = dit.patch_embedding.weight

        def buffer(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=weight.dtype, device=weight.device)  # padding stays so

        self._tokens = buffer(num_tokens, config.in_channels * 4)
        self._modulation = TimestepModulation(buffer(config.num_layers, 6, config.dim), buffer(2, config.dim))
        self._camera = CameraModulation(buffer(config.num_layers, num_tokens, 2, config.dim))
        text_shape = (config.num_layers, config.text_len, config.num_heads, config.head_dim)
        self._text = TextContext(buffer(*text_shape), buffer(*text_shape))
        self._rope = RopeAngles(buffer(num_tokens, config.head_dim // 2), buffer(num_tokens, config.head_dim // 2))
        self._flow = buffer(cache.tokens_per_chunk, config.out_channels * 4)
        if self._parallel.size > 1:  # connects the ranks, which cannot be done while a graph is recorded
            self._parallel.gather(self._tokens[:, : self._flow.shape[1]], self._flow)
        self._text_id: str | None = None
        self._table = {t: dit.modulation(t) for t in (*schedule.timesteps, schedule.cache_update_timestep)}
        attention = choose(dit.attention, weight.device, weight.dtype, config.head_dim)
        can_record = records_graphs(attention, weight.device, offload=dit.offloaded is not None)
        self._graphs = PassGraphs(weight.device) if can_record else None
        self._has_run: set[str] = set()  # kinds of pass whose kernels are compiled and loaded

    @property
    def num_bytes(self) -> int:
        """Device memory taken, that of the graphs' intermediate results not included."""
        tables = [tensor for modulation in self._table.values() for tensor in (modulation.blocks, modulation.head)]
        camera_text = self._camera.scale_shift, self._text.k, self._text.v
        return sum(tensor.nbytes for tensor in (self._tokens, *tables, *camera_text, self._flow))

    def set_text(self, text_id: str, embedding: Tensor) -> None:
        """Let the following passes see a text.

        Args:
            text_id: Tells it from others.
            embedding: ``[text_len, text_dim]``, on any device.
        """
        if text_id == self._text_id:
            return
        self._text_id = None  # until all of it is there
        self._dit.encode_text(to_device(embedding, self._tokens.device).to(self._tokens.dtype), out=self._text)
        self._text_id = text_id

    def begin_chunk(self, index: int, condition: Tensor, camera: Tensor) -> None:
        """Set what all passes of a chunk share.

        Args:
            index: Chunk index.
            condition: Mask and photo features, ``[L, 80]``.
            camera: Ray features, ``[L, 1536]``.
        """
        assert index == self._cache.num_chunks, (index, self._cache.num_chunks)
        rope = self._dit.rope(index, self._grid)
        self._fill(self._tokens[:, NOISE_FEATURES:], condition)
        self._fill(self._rope.cos, rope.cos)
        self._fill(self._rope.sin, rope.sin)
        self._dit.encode_camera(self._parallel.local(camera), out=self._camera)

    def denoise(self, noisy: Tensor, step: int) -> Tensor:
        """Flow ``[L, 64]`` at a step of the schedule for noisy tokens ``[L, 64]``; overwritten by the next pass."""
        self._set_pass_inputs(noisy, self._schedule.timesteps[step])
        self._run("denoise")
        return self._flow

    def update_cache(self, clean: Tensor) -> None:
        """Overwrite the chunk's keys and values by those of its clean tokens ``[L, 64]``."""
        self._set_pass_inputs(clean, self._schedule.cache_update_timestep)
        self._run("update_cache")

    def _set_pass_inputs(self, tokens: Tensor, timestep: float) -> None:
        self._fill(self._tokens[:, :NOISE_FEATURES], tokens)
        self._modulation.blocks.copy_(self._table[timestep].blocks)
        self._modulation.head.copy_(self._table[timestep].head)

    def _fill(self, target: Tensor, source: Tensor) -> None:
        """Copy this rank's rows of a chunk's ``source`` ``[L, C]`` to ``target`` ``[l, C]``, above its padding."""
        rows = source[self._rows]
        target[: len(rows)] = rows

    def _run(self, kind: str) -> None:
        """Run a pass, from its graph if there is one; then record one graph that will be needed soon."""
        index = self._cache.num_chunks
        if self._graphs is None:
            self._launch(kind, index)
            return
        if not self._graphs.replay(kind, self._cache.num_visible_chunks(index)):
            self._launch(kind, index)
        self._has_run.add(kind)
        # The GPU is busy now, and the host would only wait.
        for chunk_index, kind in ((index, "denoise"), (index, "update_cache"), (index + 1, "denoise")):
            if kind not in self._has_run:  # a kernel's first launch loads it, which cannot be recorded
                continue
            visible = self._cache.num_visible_chunks(chunk_index)
            if self._graphs.record(kind, visible, lambda: self._launch(kind, chunk_index)):  # noqa: B023 - runs now
                return

    def _launch(self, kind: str, chunk_index: int) -> None:
        """Issue the launches of a pass that sees what chunk ``chunk_index`` sees."""
        inputs = self._tokens, self._modulation, self._camera, self._text, self._rope
        view = self._cache.view_of(chunk_index)
        if kind == "denoise":
            self._parallel.gather(self._dit(*inputs, view), self._flow)
        else:
            self._dit.update_cache(*inputs, view)


class PassGraphs:
    """CUDA graphs by kind of pass and number of visible chunks.

    All share one pool of memory for what lies between their inputs and outputs, which is as large
    as one pass needs: they never run at the same time.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = side_stream(device, "record")
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[tuple[str, int], torch.cuda.CUDAGraph] = {}
        self._failed = False

    def replay(self, kind: str, visible_chunks: int) -> bool:
        """Launch a graph on the current stream; False when there is none."""
        graph = self._graphs.get((kind, visible_chunks))
        if graph is None:
            return False
        graph.replay()
        return True

    def record(self, kind: str, visible_chunks: int, launch: Callable[[], None]) -> bool:
        """Record what ``launch`` would issue; nothing runs on the GPU, and the GPU need not be idle.

        Returns:
            False when there is such a graph already, or recording does not work here.
        """
        if self._failed or (kind, visible_chunks) in self._graphs:
            return False
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self._stream):
                # Only this thread's calls are of interest: other threads may allocate meanwhile.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    launch()
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            _log.warning("CUDA graphs do not work here; going on without them, which is slower. %s", error)
            self._failed = True
            self._graphs.clear()
            return False
        self._graphs[kind, visible_chunks] = graph
        return True


def records_graphs(attention: Choice, device: torch.device, *, offload: bool) -> bool:
    """Whether passes with an attention backend on a device, weights waiting in host memory or not, are recorded."""
    if device.type != "cuda" or offload or os.environ.get(VARIABLE, "").strip() == "0":
        return False
    allocator = torch.cuda.get_allocator_backend()
    if allocator != "native":  # what a graph allocates there, Triton does not take for GPU memory
        _log.info("No CUDA graphs: torch runs with its allocator %s.", allocator)
        return False
    if not attention.is_capturable:
        _log.warning("CUDA graphs cannot record %s; going on without them, which is slower.", attention.label)
    return attention.is_capturable
