# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts on several GPUs, beside the same on one GPU and beside FlashDreams on as many.

Each engine has turns in processes of its own, one per GPU, started by torch elastic: ours, theirs,
ours again, then ours on one GPU. A turn leaves nothing behind, so each has the cards to itself.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lingbot_core.bench.comparison import ComparedChunk, Measured, compared_chunks, compared_table
from lingbot_core.bench.flashdreams import NAME, ReferenceChunk
from lingbot_core.bench.processes import run_module
from lingbot_core.bench.report import table
from lingbot_core.bench.rollouts import Say
from lingbot_core.stats import ChunkStats

TIMEOUT_SEC = 1800.0
"""Longest turn."""

_PROCESS = "lingbot_core.bench.turn_process"

Engine = Literal["own", "reference"]


@dataclass(frozen=True)
class TurnSetup:
    """What the processes of a turn need to know."""

    engine: Engine
    slug: str
    size: str
    precision: str | None
    attention: str
    device_type: str
    window: int | None
    sink: int | None
    height: int
    width: int
    num_chunks: int
    """Chunks per rollout."""

    num_rollouts: int
    """Measured rollouts, after one that is discarded."""

    reference: str | None = None
    """Folder of a FlashDreams checkout."""


@dataclass(frozen=True)
class Turn:
    """What a turn came to."""

    own: list[list[ChunkStats]]
    """Our rollouts; empty in a turn of theirs."""

    new_photo: list[ChunkStats]
    """First chunks of a rollout of ours that has to encode its photo; empty in a turn of theirs."""

    reference: list[list[ReferenceChunk]]
    """Their rollouts; empty in a turn of ours."""

    peak_gib: list[float]
    """Largest memory in use, by rank."""

    bytes_per_pass: int
    """Bytes that a rank sends to others in a denoising pass of ours, and as many receives; 0 in a turn of theirs."""

    card: str
    """How fast the first card multiplied and copied before the measured rollouts."""

    first_chunk_sec: float
    """First chunk of theirs, compilation included; 0 in a turn of ours."""


@dataclass(frozen=True)
class SeveralGpus:
    """All turns."""

    num_gpus: int
    own: list[Turn]
    one_gpu: Turn
    reference: Turn | None

    def turns(self) -> list[tuple[str, Turn]]:
        """Each turn, with the engine's name."""
        own = [("ours", turn) for turn in self.own] + [("ours, one GPU", self.one_gpu)]
        return own if self.reference is None else [*own, (NAME, self.reference)]

    def measured(self) -> Measured:
        """Rollouts of both engines on several GPUs."""
        rollouts = [rollout for turn in self.own for rollout in turn.own]
        reference = self.reference.reference if self.reference else []
        return Measured(own=rollouts, new_photo=self.own[-1].new_photo, reference=reference)


def measure(setup: TurnSetup, num_gpus: int, reference_chunks: int, compared: Sequence[int], say: Say) -> SeveralGpus:
    """Take all turns.

    Args:
        setup: What ours runs; with a reference, what theirs runs too.
        num_gpus: GPUs of each engine.
        reference_chunks: Chunks of their rollouts.
        compared: Chunks that are compared; rollouts on one GPU end with the last of them.
        say: Told how it goes on.

    Raises:
        LingBotError: A turn failed; its last words are in the message.
    """
    say(f"ours on {num_gpus} GPUs")
    own = [take_turn(setup, num_gpus, say)]
    reference = None
    if setup.reference is not None:
        say(f"{NAME} on {num_gpus} GPUs")
        reference = take_turn(replace(setup, engine="reference", num_chunks=reference_chunks), num_gpus, say)
        say(f"ours on {num_gpus} GPUs again")
        own.append(take_turn(setup, num_gpus, say))
    say("ours on one GPU")
    one_gpu = take_turn(replace(setup, num_chunks=max(compared) + 1), 1, say)
    return SeveralGpus(num_gpus, own, one_gpu, reference)


def take_turn(setup: TurnSetup, num_ranks: int, say: Say) -> Turn:
    """Start the processes of a turn and read what they have measured."""
    with tempfile.TemporaryDirectory() as folder:
        elastic = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks))
        arguments = [*elastic, "-m", _PROCESS, json.dumps(asdict(setup)), folder]
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // num_ranks))
        run_module(arguments, f"A turn on {num_ranks} GPUs", TIMEOUT_SEC, {"OMP_NUM_THREADS": threads})
        ranks = [json.loads((Path(folder) / f"{rank}.json").read_text("utf-8")) for rank in range(num_ranks)]
    turn = _read_turn(ranks)
    total_ms = [sum(chunk.diffuse_ms + chunk.finalize_ms for chunk in r) for r in (*turn.own, *turn.reference)]
    say(f"  passes of a rollout took {statistics.median(total_ms) / 1e3:.1f} s; card: {turn.card}")
    return turn


def _read_turn(ranks: Sequence[dict[str, Any]]) -> Turn:
    first = ranks[0]
    return Turn(
        own=[[ChunkStats.from_dict(chunk) for chunk in rollout] for rollout in first["own"]],
        new_photo=[ChunkStats.from_dict(chunk) for chunk in first["new_photo"]],
        reference=[[ReferenceChunk(**chunk) for chunk in rollout] for rollout in first["reference"]],
        peak_gib=[rank["peak_gib"] for rank in ranks],
        bytes_per_pass=first["bytes_per_pass"],
        card=first["card"],
        first_chunk_sec=first["first_chunk_sec"],
    )


# --- what it comes to -------------------------------------------------------------------


@dataclass(frozen=True)
class ScaledChunk:
    """Medians of one chunk in ms, and efficiencies: time on one GPU / (GPUs * time on several)."""

    chunk_index: int
    one_gpu_diffuse_ms: float
    diffuse_ms: float
    diffuse_efficiency: float
    one_gpu_finalize_ms: float
    finalize_ms: float
    finalize_efficiency: float


def scaled_chunks(found: SeveralGpus, indices: Sequence[int]) -> list[ScaledChunk]:
    """One row per chunk."""
    rows = []
    for index in indices:

        def median(rollouts: Sequence[Sequence[ChunkStats]], name: str, index: int = index) -> float:
            return statistics.median(getattr(rollout[index], name) for rollout in rollouts)

        several = found.measured().own
        one = {name: median(found.one_gpu.own, name) for name in ("diffuse_ms", "finalize_ms")}
        all_ = {name: median(several, name) for name in one}
        efficiency = {name: one[name] / (found.num_gpus * all_[name]) for name in one}
        pairs = [(one[name], all_[name], efficiency[name]) for name in one]
        rows.append(ScaledChunk(index, *pairs[0], *pairs[1]))
    return rows


def several_markdown(found: SeveralGpus, scaled: Sequence[ScaledChunk], compared: Sequence[ComparedChunk]) -> str:
    """The turns as text."""
    num_gpus = found.num_gpus
    headings = ["chunk", "4 passes: 1 GPU", f"{num_gpus} GPUs", "efficiency"]
    headings += ["cache update: 1 GPU", f"{num_gpus} GPUs", "efficiency"]
    cells = [
        [
            row.chunk_index,
            f"{row.one_gpu_diffuse_ms:.1f}",
            f"{row.diffuse_ms:.1f}",
            f"{row.diffuse_efficiency:.3f}",
            f"{row.one_gpu_finalize_ms:.1f}",
            f"{row.finalize_ms:.1f}",
            f"{row.finalize_efficiency:.3f}",
        ]
        for row in scaled
    ]
    lines = [
        f"### On {num_gpus} GPUs",
        "",
        "Medians in ms, first GPU's. Turns in processes of their own: ours"
        + (", theirs, ours again" if found.reference else "")
        + ", ours on one GPU. Efficiency: time on one GPU over GPUs times the time on them.",
        "",
        table(headings, cells),
        "",
        f"- sent by each GPU in a denoising pass, and as much received: {found.own[0].bytes_per_pass / 1e9:.2f} GB",
        *(
            f"- {name}: peak GiB by GPU {_numbers(turn.peak_gib)}; card before: {turn.card}"
            for name, turn in found.turns()
        ),
    ]
    if found.reference is None:
        return "\n".join(lines)
    lines += ["", f"### Beside {NAME} on {num_gpus} GPUs", "", compared_table(compared, with_visible=False)]
    lines += ["", f"- their first chunk, compilation included: {found.reference.first_chunk_sec:.1f} s"]
    return "\n".join(lines)


def several_data(
    found: SeveralGpus, scaled: Sequence[ScaledChunk], compared: Sequence[ComparedChunk]
) -> dict[str, object]:
    """The turns for programs."""
    return {
        "num_gpus": found.num_gpus,
        "scaled": [asdict(row) for row in scaled],
        "compared": [asdict(row) for row in compared],
        "bytes_per_pass": found.own[0].bytes_per_pass,
        "peak_gib": [turn.peak_gib for turn in found.own],
        "turns": [{"engine": name, **asdict(turn)} for name, turn in found.turns()],
    }


def compare_turns(found: SeveralGpus, indices: Sequence[int], capacity_chunks: int) -> list[ComparedChunk]:
    """Ours against theirs, on as many GPUs; empty without theirs."""
    return compared_chunks(found.measured(), indices, capacity_chunks) if found.reference is not None else []


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)
