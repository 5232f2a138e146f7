# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""This engine beside FlashDreams: the same work on the same card in the same process.

Where both fit into memory, their rollouts alternate. Else they take turns, ours, theirs, ours,
each freed before the next. How fast the card multiplies and copies is measured around them, so that a drift of
its clocks shows.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from lingbot_core import preflight
from lingbot_core.bench.ceilings import CardRate, card_rate
from lingbot_core.bench.flashdreams import NAME, FlashDreams, ReferenceChunk, ReferenceSettings, open_checkout
from lingbot_core.bench.report import table
from lingbot_core.bench.rollouts import OwnRollouts, OwnTimes, Say
from lingbot_core.errors import InputError
from lingbot_core.loader import LoadedModel
from lingbot_core.stats import ChunkStats
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, chunk_tokens

Order = Literal["auto", "alternate", "separate"]
ORDERS: tuple[Order, ...] = ("auto", "alternate", "separate")

_GIB = 2**30

WORK_RESERVE_BYTES = 5 * _GIB
"""What both engines take beyond the estimates: CUDA graphs, compilation, libraries, unused parts of blocks."""


@dataclass(frozen=True)
class Plan:
    """How much is measured, and in which order."""

    own_chunks: int
    """Chunks of a rollout of ours."""

    reference_chunks: int
    """Chunks of a rollout of theirs."""

    num_rollouts: int
    """Measured rollouts of each engine, after one that is discarded; in turns, ours are measured twice as often."""

    order: Order = "auto"
    """``auto``: alternate where both fit."""

    chunk_indices: tuple[int, ...] = ()
    """Chunks to compare; empty for chunk 5 and the last one that both have."""

    def compared(self) -> tuple[int, ...]:
        """Chunks to compare.

        Raises:
            InputError: One of them is not measured.
        """
        last = min(self.own_chunks, self.reference_chunks) - 1
        wanted = self.chunk_indices or tuple(sorted({min(5, last), last}))
        missing = [index for index in wanted if not 0 <= index <= last]
        if missing:
            raise InputError(
                "A chunk that is to be compared is not measured.",
                got=f"--compare {','.join(map(str, missing))}",
                need=f"0 to {last}: this engine makes {self.own_chunks} chunks, {NAME} {self.reference_chunks}",
            )
        return wanted


@dataclass
class Measured:
    """All times of a comparison."""

    own: list[list[ChunkStats]] = field(default_factory=list)
    """Our rollouts."""

    new_photo: list[ChunkStats] = field(default_factory=list)
    """First chunks of a rollout of ours that has to encode its photo."""

    reference: list[list[ReferenceChunk]] = field(default_factory=list)
    """Their rollouts."""

    rates: list[tuple[str, CardRate]] = field(default_factory=list)
    """When the card was asked, and how fast it was."""

    alternated: bool = False
    """Whether rollouts alternated; else the engines took turns."""

    first_chunk_sec: float = 0.0
    """First chunk of theirs in this process, compilation included."""

    @property
    def times(self) -> OwnTimes:
        """Ours."""
        return OwnTimes(self.own, self.new_photo)

    @property
    def order(self) -> str:
        """Order in words."""
        return "rollouts alternate" if self.alternated else "ours, theirs, ours again, each freed before the next"


def check_reference(folder: Path, device: torch.device) -> None:
    """Raise when a checkout cannot be run, before anything heavy is done."""
    if device.type != "cuda":
        raise InputError(f"{NAME} needs a GPU.", got=f"device {device}", do="Leave --reference out.")
    open_checkout(folder)


def compare(
    folder: Path,
    build_own: Callable[[], LoadedModel],
    frame_size: tuple[int, int],
    plan: Plan,
    say: Say,
) -> Measured:
    """Measure both engines.

    Args:
        folder: A checkout of FlashDreams.
        build_own: Builds our model; called again when it had to make room.
        frame_size: Height and width in pixels.
        plan: How much to measure.
        say: Told how it goes on.

    Returns:
        All times.
    """
    module = open_checkout(folder)
    model = build_own()
    settings = reference_settings(model, frame_size)
    alternate = plan.order == "alternate" or (plan.order == "auto" and both_fit(model, frame_size))
    measured = Measured(alternated=alternate)
    runner = _Runner(frame_size, plan, measured, say)
    say(f"Beside {NAME}: {measured.order}.")
    if alternate:
        runner.rate("before", model)
        own, reference = runner.own(model), FlashDreams(module, settings)
        runner.warm_up_reference(reference)
        for _ in range(plan.num_rollouts):
            runner.run_own(own)
            runner.run_reference(reference)
        runner.rate("after", model)
        measured.new_photo = own.run_new_photo()
        own.close()
        reference.close()
        return measured
    runner.own_turn(model, "before ours")
    del model  # nobody else holds it
    gc.collect()
    preflight.release_unused_memory(settings.device)
    reference = FlashDreams(module, settings)
    runner.warm_up_reference(reference)
    runner.rate("before theirs", settings)
    for _ in range(plan.num_rollouts):
        runner.run_reference(reference)
    reference.close()
    model = build_own()
    runner.own_turn(model, "before ours again")
    runner.rate("after", model)
    return measured


class _Runner:
    """Runs rollouts, keeps their times, and says so."""

    def __init__(self, frame_size: tuple[int, int], plan: Plan, measured: Measured, say: Say) -> None:
        self._frame_size, self._plan, self._measured, self._say = frame_size, plan, measured, say

    def rate(self, when: str, what: LoadedModel | ReferenceSettings) -> None:
        config = what.config if isinstance(what, ReferenceSettings) else what.dit.config
        shape = chunk_tokens(*self._frame_size), config.dim, config.ffn_dim
        rate = card_rate(what.device, torch.bfloat16, shape)
        self._measured.rates.append((when, rate))
        self._say(f"  {when}: {rate}")
        preflight.release_unused_memory(what.device)

    def own(self, model: LoadedModel) -> OwnRollouts:
        own = OwnRollouts(model, self._plan.own_chunks, self._frame_size)
        self._say_total("ours (discarded)", [stats.wall_ms for stats in own.run()])
        return own

    def own_turn(self, model: LoadedModel, when: str) -> None:
        own = self.own(model)
        self.rate(when, model)
        for _ in range(self._plan.num_rollouts):
            self.run_own(own)
        self._measured.new_photo = own.run_new_photo()
        own.close()

    def run_own(self, own: OwnRollouts) -> None:
        rollout = own.run()
        self._measured.own.append(rollout)
        self._say_total("ours", [stats.wall_ms for stats in rollout])

    def warm_up_reference(self, reference: FlashDreams) -> None:
        self._run_reference(reference, "theirs (discarded)")
        self._measured.first_chunk_sec = reference.first_chunk_sec
        self._say(f"  first chunk of theirs, compilation included: {reference.first_chunk_sec:.1f} s")

    def run_reference(self, reference: FlashDreams) -> None:
        self._measured.reference.append(self._run_reference(reference, "theirs"))

    def _run_reference(self, reference: FlashDreams, name: str) -> list[ReferenceChunk]:
        rollout = reference.run(self._plan.reference_chunks)
        self._say_total(name, [chunk.diffuse_ms + chunk.finalize_ms for chunk in rollout])
        return rollout

    def _say_total(self, name: str, times_ms: Sequence[float]) -> None:
        self._say(f"  {name}: {len(times_ms)} chunks took {sum(times_ms) / 1e3:.1f} s")


def reference_settings(model: LoadedModel, frame_size: tuple[int, int]) -> ReferenceSettings:
    """What lets their network do the work of ours."""
    return ReferenceSettings(
        slug=model.variant.slug,
        config=model.dit.config,
        frame_size=frame_size,
        window_frames=model.window_chunks * CHUNK_LATENT_FRAMES,
        sink_frames=model.sink_chunks * CHUNK_LATENT_FRAMES,
        device=model.device,
    )


def both_fit(model: LoadedModel, frame_size: tuple[int, int]) -> bool:
    """Whether theirs fits beside ours, whose weights are there and nothing else."""
    free = preflight.free_memory(model.device)
    if free is None:
        return False
    own = replace(model.memory, frame_size=frame_size).estimate()
    theirs = replace(model.memory, frame_size=frame_size, bytes_per_value=2, fp8=False).estimate()
    needed = own.total - own.weights + theirs.weights + theirs.kv_cache + theirs.work
    return free >= needed + WORK_RESERVE_BYTES


@dataclass(frozen=True)
class ComparedChunk:
    """Medians of both engines for one chunk, in ms, and their ratios ours / theirs."""

    chunk_index: int
    visible_latent_frames: int
    own_diffuse_ms: float
    reference_diffuse_ms: float
    diffuse_ratio: float
    own_finalize_ms: float
    reference_finalize_ms: float
    finalize_ratio: float


def compared_chunks(measured: Measured, indices: Sequence[int], capacity_chunks: int) -> list[ComparedChunk]:
    """One row per chunk."""

    def median(rollouts: Sequence[Sequence[ChunkStats | ReferenceChunk]], index: int, name: str) -> float:
        return statistics.median(getattr(rollout[index], name) for rollout in rollouts)

    rows = []
    for index in indices:
        own_diffuse, own_finalize = (median(measured.own, index, name) for name in ("diffuse_ms", "finalize_ms"))
        diffuse, finalize = (median(measured.reference, index, name) for name in ("diffuse_ms", "finalize_ms"))
        rows.append(
            ComparedChunk(
                chunk_index=index,
                visible_latent_frames=min(index + 1, capacity_chunks) * CHUNK_LATENT_FRAMES,
                own_diffuse_ms=own_diffuse,
                reference_diffuse_ms=diffuse,
                diffuse_ratio=own_diffuse / diffuse,
                own_finalize_ms=own_finalize,
                reference_finalize_ms=finalize,
                finalize_ratio=own_finalize / finalize,
            )
        )
    return rows


def compared_table(rows: Sequence[ComparedChunk], *, with_visible: bool = True) -> str:
    """The rows as a table, with the visible frames of each chunk where they are not told elsewhere."""
    headings = ["chunk", "visible frames", "4 passes: ours", "theirs", "ratio", "cache update: ours", "theirs", "ratio"]
    cells = [
        [
            row.chunk_index,
            row.visible_latent_frames,
            f"{row.own_diffuse_ms:.1f}",
            f"{row.reference_diffuse_ms:.1f}",
            f"{row.diffuse_ratio:.3f}",
            f"{row.own_finalize_ms:.1f}",
            f"{row.reference_finalize_ms:.1f}",
            f"{row.finalize_ratio:.3f}",
        ]
        for row in rows
    ]
    columns = [index for index in range(len(headings)) if with_visible or index != 1]
    return table([headings[column] for column in columns], [[line[column] for column in columns] for line in cells])


def comparison_markdown(measured: Measured, rows: Sequence[ComparedChunk]) -> str:
    """The comparison as text."""
    peak = max(chunk.peak_gib for rollout in measured.reference for chunk in rollout)
    holders = "both engines together" if measured.alternated else "theirs alone"
    lines = [
        f"### Beside {NAME}",
        "",
        f"Medians in ms over {len(measured.own)} rollouts of ours and {len(measured.reference)} of theirs; "
        f"{measured.order}. Theirs is its network as it configures it (bf16, compiled, its CUDA graphs), without "
        "encoders and decoder; ours includes what the decoder takes beside it.",
        "",
        compared_table(rows),
        "",
        f"- their first chunk in this process, compilation included: {measured.first_chunk_sec:.1f} s",
        f"- largest memory in use during their rollouts, {holders}: {peak:.1f} GiB",
        *(f"- card {when}: {rate}" for when, rate in measured.rates),
    ]
    return "\n".join(lines)


def comparison_data(measured: Measured, rows: Sequence[ComparedChunk]) -> dict[str, object]:
    """The comparison for programs."""
    return {
        "compared": [asdict(row) for row in rows],
        "reference": {
            "order": measured.order,
            "first_chunk_sec": measured.first_chunk_sec,
            "rollouts": [[asdict(chunk) for chunk in rollout] for rollout in measured.reference],
            "card": [{"when": when, **asdict(rate)} for when, rate in measured.rates],
        },
    }
