# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world bench``: speed and memory by chunk index, on random weights.

Speed does not depend on the values of the weights, so no checkpoint is needed: the
true architecture is built with random ones. One rollout through every cache length is
discarded, then each chunk index is reported as median and 90th percentile over rollouts.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from lingbot_core.camera.presets import make_preset
from lingbot_core.errors import InputError, OutputError
from lingbot_core.executor.base import RolloutRequest, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.kernels.attention import AUTO, NAMES
from lingbot_core.loader import LoadedModel, ModelOptions, random_model
from lingbot_core.options import ATTENTION_HELP, PRECISION_HELP, PRECISIONS
from lingbot_core.photo import check_size
from lingbot_core.stats import ChunkStats
from lingbot_core.timeline import CHUNK_LATENT_FRAMES
from lingbot_core.variants import get_variant


@dataclass(frozen=True)
class BenchRow:
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
    decode_ms: float
    wall_ms: float
    wall_p90_ms: float
    fps: float
    """Pixel frames per second of wall time."""

    peak_gib: float
    """Largest memory in use so far."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world bench``."""
    parser.add_argument("slug", help="variant to measure; see `lingbot-world variants`")
    parser.add_argument("--size", choices=("full", "small", "tiny"), default="full", help="size of the network")
    parser.add_argument("--precision", choices=list(PRECISIONS), help=PRECISION_HELP)
    parser.add_argument("--attention", choices=NAMES, default=AUTO, help=ATTENTION_HELP)
    parser.add_argument("--device", help="default: cuda if there is one, else cpu")
    parser.add_argument(
        "--total-blocks", type=int, help="chunks per rollout; default: until the window is full, plus 2"
    )
    parser.add_argument("--window", type=int, help="window in latent frames, the variant's by default")
    parser.add_argument("--sink", type=int, help="sink in latent frames, the variant's by default")
    parser.add_argument("--pixel-height", type=int, default=464)
    parser.add_argument("--pixel-width", type=int, default=832)
    parser.add_argument("--rollouts", type=int, default=5, help="measured rollouts, after one that is discarded")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--results", type=Path, help="append the table to this Markdown file")


def run(args: argparse.Namespace, say: Callable[[str], None] = print) -> int:
    """Measure, print the table, and write the files asked for."""
    check_size(args.pixel_height, args.pixel_width)
    for option, value in (("--rollouts", args.rollouts), ("--total-blocks", args.total_blocks)):
        if value is not None and value < 1:
            raise InputError("There is nothing to measure.", got=f"{option} {value}", need="at least 1")
    for path in (args.json, args.results):
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"The folder of {path} does not exist.", do="Make it first, or choose another file.")
    variant = get_variant(args.slug)
    frame_size = (args.pixel_height, args.pixel_width)
    options = ModelOptions(
        precision=args.precision,
        attention=args.attention,
        device=args.device,
        window_frames=args.window,
        sink_frames=args.sink,
        frame_size=frame_size,
    )
    model = random_model(variant, options, size=args.size)
    capacity = model.window_chunks + model.sink_chunks
    num_chunks = args.total_blocks or capacity + 2
    say(f"Measuring {variant.slug}: {args.rollouts} rollouts of {num_chunks} chunks, after one discarded.")
    measured = measure(model, num_chunks, args.rollouts, frame_size, say)
    rows = summarise(measured, capacity)
    facts = environment(model, args)
    table = markdown(facts, rows)
    say(table)
    if args.json is not None:
        args.json.write_text(json.dumps({**facts, "chunks": [asdict(row) for row in rows]}, indent=2) + "\n")
    if args.results is not None:
        with args.results.open("a", encoding="utf-8") as file:
            file.write("\n" + table + "\n")
    return 0


def measure(
    model: LoadedModel, num_chunks: int, num_rollouts: int, size: tuple[int, int], say: Callable[[str], None]
) -> list[list[ChunkStats]]:
    """Stats of every chunk of ``num_rollouts`` rollouts, after one that is discarded."""
    generator = torch.Generator("cpu").manual_seed(0)
    config = model.dit.config
    request = RolloutRequest(
        photo=torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=generator),
        camera=make_preset("walk-forward", num_chunks),
        text=(TextEvent(0, embedding=torch.randn(config.text_len, config.text_dim, generator=generator)),),
        num_chunks=num_chunks,
    )
    executor = LocalExecutor(model)
    measured: list[list[ChunkStats]] = []
    for index in range(num_rollouts + 1):
        if model.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(model.device)
        # another seed is another rollout: nothing of the one before is reused but the photo's latents
        rollout = [chunk.stats for chunk in executor.stream(replace(request, seed=index))]
        total_sec = sum(stats.wall_ms for stats in rollout) / 1e3
        say(f"  rollout {index} {'(discarded) ' if index == 0 else ''}took {total_sec:.1f} s")
        measured.append(rollout)
    executor.close()
    return measured[1:]


def summarise(measured: Sequence[Sequence[ChunkStats]], capacity_chunks: int) -> list[BenchRow]:
    """One row per chunk index over several rollouts."""
    rows = []
    for index, stats in enumerate(zip(*measured, strict=True)):

        def median(name: str, stats: tuple[ChunkStats, ...] = stats) -> float:
            return statistics.median(getattr(item, name) for item in stats)

        passes = zip(*(item.pass_ms for item in stats), strict=True)
        rows.append(
            BenchRow(
                chunk_index=index,
                visible_latent_frames=min(index + 1, capacity_chunks) * CHUNK_LATENT_FRAMES,
                encode_ms=median("encode_ms"),
                pass_ms=[statistics.median(times) for times in passes],
                diffuse_ms=median("diffuse_ms"),
                diffuse_p90_ms=_p90([item.diffuse_ms for item in stats]),
                finalize_ms=median("finalize_ms"),
                decode_ms=median("decode_ms"),
                wall_ms=median("wall_ms"),
                wall_p90_ms=_p90([item.wall_ms for item in stats]),
                fps=1e3 * stats[0].num_frames / median("wall_ms"),
                peak_gib=max(item.mem_peak_gib for item in stats),
            )
        )
    return rows


def _p90(values: Sequence[float]) -> float:
    """90th percentile, linear between neighbours."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=10, method="inclusive")[-1]


def environment(model: LoadedModel, args: argparse.Namespace) -> dict[str, object]:
    """What a reader needs to repeat the measurement."""
    on_cuda = model.device.type == "cuda"
    return {
        "variant": model.variant.slug,
        "network": f"{args.size}, {sum(p.numel() for p in model.dit.parameters()) / 1e9:.2f} B parameters",
        "precision": model.precision,
        "attention": model.attention.label,
        "frame": f"{args.pixel_height}x{args.pixel_width}",
        "window + sink": f"{model.window_chunks * CHUNK_LATENT_FRAMES} + {model.sink_chunks * CHUNK_LATENT_FRAMES}",
        "hardware": torch.cuda.get_device_name(model.device) if on_cuda else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}"
        + (f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if on_cuda else ""),
        "rollouts": args.rollouts,
        "command": "lingbot-world " + " ".join(sys.argv[1:]),
    }


def markdown(facts: dict[str, object], rows: Sequence[BenchRow]) -> str:
    """The result as a Markdown section."""
    lines = [f"## {facts['variant']}, {facts['precision']}, {facts['hardware']}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [
        "",
        "Medians in ms over the rollouts, p90 in brackets; visible frames are latent frames.",
        "",
        "| chunk | visible frames | encode | 4 passes | a pass | cache update | decode | wall | fps | peak GiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one_pass = statistics.mean(row.pass_ms)
        lines.append(
            f"| {row.chunk_index} | {row.visible_latent_frames} | {row.encode_ms:.1f} "
            f"| {row.diffuse_ms:.1f} ({row.diffuse_p90_ms:.1f}) | {one_pass:.1f} | {row.finalize_ms:.1f} "
            f"| {row.decode_ms:.1f} | {row.wall_ms:.1f} ({row.wall_p90_ms:.1f}) | {row.fps:.2f} | {row.peak_gib:.2f} |"
        )
    return "\n".join(lines)
