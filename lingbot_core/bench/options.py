# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Options of ``lingbot-world bench``, and what can be wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from lingbot_core.bench.comparison import ORDERS
from lingbot_core.bench.report import check_outputs
from lingbot_core.errors import InputError
from lingbot_core.kernels.attention import AUTO, NAMES
from lingbot_core.options import ATTENTION_HELP, OFFLOAD_HELP, OFFLOADS, PRECISION_HELP, PRECISIONS, ModelOptions
from lingbot_core.photo import check_size
from lingbot_core.random_weights import SIZES

MODES = ("--breakdown", "--elementwise", "--first-frame", "--error")
"""Options that measure something else than whole rollouts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world bench``."""
    parser.add_argument("slug", help="variant to measure; see `lingbot-world variants`")
    parser.add_argument("--size", choices=list(SIZES), default="full", help="size of the network")
    parser.add_argument("--precision", choices=list(PRECISIONS), help=PRECISION_HELP)
    parser.add_argument("--offload", choices=OFFLOADS, default="none", help=OFFLOAD_HELP)
    parser.add_argument("--attention", choices=NAMES, default=AUTO, help=ATTENTION_HELP)
    parser.add_argument("--device", help="default: cuda if there is one, else cpu")
    parser.add_argument("--total-blocks", type=int, help="chunks per rollout; default: until the window is full + 2")
    parser.add_argument("--window", type=int, help="window in latent frames, the variant's by default")
    parser.add_argument("--sink", type=int, help="sink in latent frames, the variant's by default")
    parser.add_argument("--pixel-height", type=int, default=464)
    parser.add_argument("--pixel-width", type=int, default=832)
    parser.add_argument("--rollouts", type=int, default=5, help="measured rollouts, after one that is discarded")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--results", type=Path, help="append the tables to this Markdown file")

    inside = parser.add_argument_group("one pass instead of whole rollouts")
    inside.add_argument("--breakdown", action="store_true", help="time by group of kernels, and what the card can do")
    inside.add_argument("--elementwise", action="store_true", help="bandwidth of each fused kernel, against a copy")
    inside.add_argument("--chunk", type=int, help="whose pass; default: the one that fills the window")

    other = parser.add_argument_group("other measurements")
    other.add_argument("--first-frame", action="store_true", help="time to the first frame in a new process")
    other.add_argument("--text-size", choices=list(SIZES), help="text encoder of --first-frame; default: as --size")
    other.add_argument("--error", action="store_true", help="errors of fp8 against bf16, by block and by chunk")

    parser.add_argument("--num-gpus", type=int, default=1, help="GPUs that share each pass; also measures one alone")

    beside = parser.add_argument_group("beside FlashDreams")
    beside.add_argument("--reference", type=Path, metavar="DIR", help="a FlashDreams checkout, measured as well")
    beside.add_argument(
        "--reference-chunks", type=int, help="chunks of its rollouts; default: until the window is full"
    )
    beside.add_argument(
        "--reference-order",
        choices=ORDERS,
        default="auto",
        help="alternate its rollouts with ours, or take turns and free memory; auto: alternate where both fit",
    )
    beside.add_argument(
        "--compare", type=_indices, default=(), metavar="I,J", help="chunks to compare; default: 5 and the last one"
    )


def _indices(text: str) -> tuple[int, ...]:
    """Chunk indices from ``5,20``."""
    return tuple(int(part) for part in text.split(","))


def check(args: argparse.Namespace) -> None:
    """Raise when options do not go together; looks at nothing but them, and folders."""
    check_size(args.pixel_height, args.pixel_width)
    counts = ("--rollouts", args.rollouts), ("--total-blocks", args.total_blocks)
    for option, value in (*counts, ("--reference-chunks", args.reference_chunks)):
        if value is not None and value < 1:
            raise InputError("There is nothing to measure.", got=f"{option} {value}", need="at least 1")
    if args.chunk is not None and args.chunk < 0:
        raise InputError("There is no such chunk.", got=f"--chunk {args.chunk}", need="0 or more")
    modes = [option for option in MODES if getattr(args, option.strip("-").replace("-", "_"))]
    if len(modes) > 1 and set(modes) != {"--breakdown", "--elementwise"}:
        raise InputError("These are measured one at a time.", got=" and ".join(modes), do="Run the command twice.")
    if args.reference is not None and modes:
        raise InputError(
            "FlashDreams is measured beside whole rollouts only.",
            got=f"--reference with {' and '.join(modes)}",
            do="Run the command twice.",
        )
    if args.first_frame and args.offload != "none":
        raise InputError(
            "The first frames are measured with all weights on the device.",
            got=f"--first-frame with --offload {args.offload}",
            do="Leave one of them out.",
        )
    if args.num_gpus > 1 and modes:
        raise InputError(
            "On several GPUs whole rollouts are measured.",
            got=f"--num-gpus {args.num_gpus} with {' and '.join(modes)}",
            do="Leave one of them out.",
        )
    check_outputs(args.json, args.results)


def model_options(args: argparse.Namespace) -> ModelOptions:
    """What the model is built with."""
    return ModelOptions(
        precision=args.precision,
        offload=args.offload,
        attention=args.attention,
        device=args.device,
        window_frames=args.window,
        sink_frames=args.sink,
        frame_size=frame_size(args),
        num_gpus=args.num_gpus,
    )


def frame_size(args: argparse.Namespace) -> tuple[int, int]:
    """Height and width in pixels."""
    return args.pixel_height, args.pixel_width
