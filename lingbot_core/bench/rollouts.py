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
from lingbot_core.image_latents import STEADY_LATENT
from lingbot_core.loader import LoadedModel
from lingbot_core.stats import ChunkStats
from lingbot_core.timeline import CHUNK_LATENT_FRAMES

Say = Callable[[str], None]

NEW_PHOTO_CHUNKS = STEADY_LATENT // CHUNK_LATENT_FRAMES + 2
"""Chunks of the rollout of a new photo: those that the photo's encoder runs beside, and one more."""

MIN_FOR_P90 = 5
"""Rollouts from which on tables show the 90th percentile."""


@dataclass(frozen=True)
class ChunkRow:
    """One chunk index over all measured rollouts: medians in ms, 90th percentiles where named so."""

    chunk_index: int
    """From 0."""

    visible_latent_frames: int
    """Latent frames that the chunk attends to, its own included."""

    num_rollouts: int
    """Behind each figure."""

    encode_ms: float
    pass_ms: list[float]
    diffuse_ms: float
    diffuse_p90_ms: float
    finalize_ms: float
    finalize_p90_ms: float
    decode_ms: float
    total_ms: float
    """Of all stages, which run beside each other."""

    wall_ms: float
    wall_p90_ms: float
    fps: float
    """Pixel frames per second of wall time."""

    peak_gib: float
    """Largest memory in use so far."""


@dataclass(frozen=True)
class OwnTimes:
    """Rollouts of this engine."""

    known_photo: list[list[ChunkStats]]
    """Rollouts whose photo was encoded by the discarded one."""

    new_photo: list[ChunkStats]
    """First chunks of a rollout that has to encode its photo."""


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
        self._num_done = 0
        self._request = RolloutRequest(
            photo=self._draw_photo(frame_size),
            camera=make_preset("walk-forward", num_chunks),
            text=(TextEvent(0, embedding=torch.randn(config.text_len, config.text_dim, generator=generator)),),
            num_chunks=num_chunks,
        )
        self._executor = executor or LocalExecutor(model)

    def run(self) -> list[ChunkStats]:
        """Stats of every chunk of one more rollout; the first one has to encode the photo."""
        return [chunk.stats for chunk in self.stream()]

    def run_new_photo(self) -> list[ChunkStats]:
        """Stats of the first chunks of one more rollout, of another photo."""
        num_chunks = min(self._request.num_chunks, NEW_PHOTO_CHUNKS)
        photo = self._draw_photo(tuple(self._request.photo.shape[:2]))
        return [chunk.stats for chunk in self.stream(replace(self._request, photo=photo, num_chunks=num_chunks))]

    def stream(self, request: RolloutRequest | None = None) -> Iterator[ChunkResult]:
        """Chunks of one more rollout; nothing of one before is reused but latents of its photo."""
        if self.model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.model.device)
        request = replace(request or self._request, seed=self._num_done)
        self._num_done += 1
        return self._executor.stream(request)

    def _draw_photo(self, frame_size: tuple[int, ...]) -> torch.Tensor:
        """A random photo, other than those before."""
        generator = torch.Generator("cpu").manual_seed(self._num_done)
        return torch.randint(0, 256, (*frame_size, 3), dtype=torch.uint8, generator=generator)

    def close(self) -> None:
        """Free what they take beside the model."""
        self._executor.close()


def measure(model: LoadedModel, num_chunks: int, num_rollouts: int, frame_size: tuple[int, int], say: Say) -> OwnTimes:
    """Stats of every chunk of ``num_rollouts`` rollouts, after one that is discarded; then those of a new photo."""
    own = OwnRollouts(model, num_chunks, frame_size)
    measured = []
    for index in range(num_rollouts + 1):
        rollout = own.run()
        total_sec = sum(stats.wall_ms for stats in rollout) / 1e3
        say(f"  rollout {index} {'(discarded) ' if index == 0 else ''}took {total_sec:.1f} s")
        measured.append(rollout)
    new_photo = own.run_new_photo()
    own.close()
    return OwnTimes(measured[1:], new_photo)


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
                num_rollouts=len(stats),
                encode_ms=median("encode_ms"),
                pass_ms=[statistics.median(times) for times in passes],
                diffuse_ms=median("diffuse_ms"),
                diffuse_p90_ms=p90([item.diffuse_ms for item in stats]),
                finalize_ms=median("finalize_ms"),
                finalize_p90_ms=p90([item.finalize_ms for item in stats]),
                decode_ms=median("decode_ms"),
                total_ms=median("total_ms"),
                wall_ms=median("wall_ms"),
                wall_p90_ms=p90([item.wall_ms for item in stats]),
                fps=1e3 * stats[0].num_frames / median("wall_ms"),
                peak_gib=max(item.mem_peak_gib for item in stats),
            )
        )
    return rows


def rollouts_markdown(times: OwnTimes, capacity_chunks: int) -> str:
    """The rollouts as text."""
    return (
        "Medians in ms over the rollouts"
        + (", 90th percentiles in brackets" if len(times.known_photo) >= MIN_FOR_P90 else "")
        + "; visible frames are latent frames. Stages run beside each other: the decoder beside the cache update and "
        "the next chunk. The 4 passes include the camera branch of the chunk. Total is the sum of the stages, wall "
        "what a chunk adds to the whole. The photo was encoded by the rollout that is not counted.\n\n"
        + _rows_table(summarise(times.known_photo, capacity_chunks))
        + "\n\nFirst chunks of a new photo, one rollout. Its encoder runs beside the passes, one chunk ahead, for ten "
        "chunks; encode is what a chunk waits for it.\n\n" + _rows_table(summarise([times.new_photo], capacity_chunks))
    )


def _rows_table(rows: Sequence[ChunkRow]) -> str:
    headings = ["chunk", "visible frames", "encode", "4 passes", "each pass", "cache update", "decode", "total", "wall"]
    cells = [
        [
            row.chunk_index,
            row.visible_latent_frames,
            f"{row.encode_ms:.1f}",
            _with_p90(row, row.diffuse_ms, row.diffuse_p90_ms),
            " ".join(f"{time:.1f}" for time in row.pass_ms),
            _with_p90(row, row.finalize_ms, row.finalize_p90_ms),
            f"{row.decode_ms:.1f}",
            f"{row.total_ms:.1f}",
            _with_p90(row, row.wall_ms, row.wall_p90_ms),
            f"{row.fps:.2f}",
            f"{row.peak_gib:.2f}",
        ]
        for row in rows
    ]
    return table([*headings, "fps", "peak GiB"], cells)


def _with_p90(row: ChunkRow, median_ms: float, p90_ms: float) -> str:
    return f"{median_ms:.1f}" + (f" ({p90_ms:.1f})" if row.num_rollouts >= MIN_FOR_P90 else "")


def rollouts_data(times: OwnTimes, capacity_chunks: int) -> dict[str, object]:
    """The rollouts for programs."""
    return {
        "chunks": [asdict(row) for row in summarise(times.known_photo, capacity_chunks)],
        "known_photo": [[stats.as_dict() for stats in rollout] for rollout in times.known_photo],
        "new_photo": [stats.as_dict() for stats in times.new_photo],
    }
