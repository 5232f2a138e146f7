# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole rollouts: time of every stage, by chunk index."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from lingbot_core.bench.report import p90, table
from lingbot_core.camera.presets import make_preset
from lingbot_core.executor.base import ChunkResult, RolloutRequest, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.loader import LoadedModel
from lingbot_core.stats import ChunkStats
from lingbot_core.timeline import CHUNK_LATENT_FRAMES

Say = Callable[[str], None]


@dataclass(frozen=True)
class ChunkRow:
    """One chunk index over all measured rollouts: medians in ms, 90th percentiles where named so."""

    chunk_index: int
    """From 0."""

    visible_latent_frames: int
    """Latent frames that the chunk attends to, its own included."""

    encode_ms: float
    pass_ms: list[float]
    diffuse_ms: float
    diffuse_p90_ms: float
    finalize_ms: float
    finalize_p90_ms: float
    decode_ms: float
    wall_ms: float
    wall_p90_ms: float
    fps: float
    """Pixel frames per second of wall time."""

    peak_gib: float
    """Largest memory in use so far."""


class OwnRollouts:
    """Rollouts of this engine, each computed from scratch.

    Args:
        model: What runs.
        num_chunks: Chunks per rollout.
        frame_size: Height and width in pixels.
        executor: What runs it; None for one of this process alone.
    """

    def __init__(
        self,
        model: LoadedModel,
        num_chunks: int,
        frame_size: tuple[int, int],
        executor: LocalExecutor | None = None,
    ) -> None:
        generator = torch.Generator("cpu").manual_seed(0)
        config = model.dit.config
        self.model = model
        self._request = RolloutRequest(
            photo=torch.randint(0, 256, (*frame_size, 3), dtype=torch.uint8, generator=generator),
            camera=make_preset("walk-forward", num_chunks),
            text=(TextEvent(0, embedding=torch.randn(config.text_len, config.text_dim, generator=generator)),),
            num_chunks=num_chunks,
        )
        self._executor = executor or LocalExecutor(model)
        self._num_done = 0

    def run(self) -> list[ChunkStats]:
        """Stats of every chunk of one more rollout."""
        return [chunk.stats for chunk in self.stream()]

    def stream(self) -> Iterator[ChunkResult]:
        """Chunks of one more rollout."""
        if self.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model.device)
        # another seed is another rollout: nothing of the one before is reused but the photo's latents
        request = replace(self._request, seed=self._num_done)
        self._num_done += 1
        return self._executor.stream(request)

    def close(self) -> None:
        """Free what they take beside the model."""
        self._executor.close()


def measure(
    model: LoadedModel, num_chunks: int, num_rollouts: int, frame_size: tuple[int, int], say: Say
) -> list[list[ChunkStats]]:
    """Stats of every chunk of ``num_rollouts`` rollouts, after one that is discarded."""
    own = OwnRollouts(model, num_chunks, frame_size)
    measured = []
    for index in range(num_rollouts + 1):
        rollout = own.run()
        total_sec = sum(stats.wall_ms for stats in rollout) / 1e3
        say(f"  rollout {index} {'(discarded) ' if index == 0 else ''}took {total_sec:.1f} s")
        measured.append(rollout)
    own.close()
    return measured[1:]


def summarise(measured: Sequence[Sequence[ChunkStats]], capacity_chunks: int) -> list[ChunkRow]:
    """One row per chunk index over several rollouts."""
    rows = []
    for index, stats in enumerate(zip(*measured, strict=True)):

        def median(name: str, stats: tuple[ChunkStats, ...] = stats) -> float:
            return statistics.median(getattr(item, name) for item in stats)

        passes = zip(*(item.pass_ms for item in stats), strict=True)
        rows.append(
            ChunkRow(
                chunk_index=index,
                visible_latent_frames=min(index + 1, capacity_chunks) * CHUNK_LATENT_FRAMES,
                encode_ms=median("encode_ms"),
                pass_ms=[statistics.median(times) for times in passes],
                diffuse_ms=median("diffuse_ms"),
                diffuse_p90_ms=p90([item.diffuse_ms for item in stats]),
                finalize_ms=median("finalize_ms"),
                finalize_p90_ms=p90([item.finalize_ms for item in stats]),
                decode_ms=median("decode_ms"),
                wall_ms=median("wall_ms"),
                wall_p90_ms=p90([item.wall_ms for item in stats]),
                fps=1e3 * stats[0].num_frames / median("wall_ms"),
                peak_gib=max(item.mem_peak_gib for item in stats),
            )
        )
    return rows


def rollouts_markdown(rows: Sequence[ChunkRow]) -> str:
    """The rows as text."""
    headings = ["chunk", "visible frames", "encode", "4 passes", "each pass", "cache update", "decode", "wall", "fps"]
    cells = [
        [
            row.chunk_index,
            row.visible_latent_frames,
            f"{row.encode_ms:.1f}",
            f"{row.diffuse_ms:.1f} ({row.diffuse_p90_ms:.1f})",
            " ".join(f"{time:.1f}" for time in row.pass_ms),
            f"{row.finalize_ms:.1f} ({row.finalize_p90_ms:.1f})",
            f"{row.decode_ms:.1f}",
            f"{row.wall_ms:.1f} ({row.wall_p90_ms:.1f})",
            f"{row.fps:.2f}",
            f"{row.peak_gib:.2f}",
        ]
        for row in rows
    ]
    return (
        "Medians in ms over the rollouts, 90th percentiles in brackets; visible frames are latent frames. Stages run "
        "beside each other: the decoder beside the cache update and the next chunk, the photo encoder one chunk ahead. "
        "The 4 passes include the camera branch of the chunk. Wall is what a chunk adds to the whole.\n\n"
        + table([*headings, "peak GiB"], cells)
    )


def rollouts_data(rows: Sequence[ChunkRow]) -> dict[str, object]:
    """The rows for programs."""
    return {"chunks": [asdict(row) for row in rows]}
