# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world generate``: the whole main path, from files to files."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from lingbot_core.cli.console import ChunkBar, StopRequest, say
from lingbot_core.cli.inputs import read_request
from lingbot_core.cli.model_arguments import add_model_arguments, model_options
from lingbot_core.cli.outputs import Outputs
from lingbot_core.errors import Cancelled
from lingbot_core.executor.opening import open_executor
from lingbot_core.journal import DEFAULT_BUDGET_GIB, Journal
from lingbot_core.photo import FITS
from lingbot_core.preflight import explain_out_of_memory
from lingbot_core.variants import get_variant


def run(args: argparse.Namespace) -> int:
    """Photo, prompt and camera path in; video, stats and contact sheet out, chunk by chunk."""
    variant = get_variant(args.slug)
    options = model_options(args, variant, (args.pixel_height, args.pixel_width))
    request = read_request(args)  # every input is checked here, before any model file is opened
    journal = Journal(args.journal or args.output_dir / "journal", args.journal_budget)
    with Outputs(args.output_dir, variant.slug, request, args.fps, args.contact_sheet) as outputs:
        executor = open_executor(variant, options, journal, args.snapshot_budget, say=say)
        with (
            closing(executor),
            ChunkBar(request.num_chunks) as bar,
            StopRequest() as stop,
            explain_out_of_memory(executor.info.device),
        ):
            try:
                for chunk in executor.stream(request, on_progress=bar.on_pass, cancelled=stop):
                    outputs.append(chunk)
                    bar.on_chunk(chunk.stats)
            except Cancelled:
                done = f"{outputs.num_chunks} of {request.num_chunks} chunks"
                say(f"Stopped after {done}; the same command goes on there.")
    for path in outputs.paths:
        print(path)
    return 0 if outputs.num_chunks == request.num_chunks else stop.exit_code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world generate``; names and defaults of upstream's are upstream's."""
    parser.add_argument("slug", help="variant; see `lingbot-world variants`")

    inputs = parser.add_argument_group("what to generate")
    inputs.add_argument("--image-path", type=Path, metavar="FILE", help="photo to start from")
    inputs.add_argument("--prompt", default="", help="what the video shows; wins over --prompt-path")
    inputs.add_argument("--prompt-path", type=Path, metavar="FILE", help="file whose first line is the prompt")
    inputs.add_argument(
        "--event", action="append", default=[], metavar="CHUNK=PROMPT", help="change the prompt at a chunk (repeatable)"
    )
    inputs.add_argument("--pose-path", type=Path, metavar="FILE", help=".npy of camera-to-world poses, [N, 4, 4]")
    inputs.add_argument(
        "--intrinsic-path",
        type=Path,
        metavar="FILE",
        help=".npy of fx, fy, cx, cy for 480x832: [4], [1, 4] or [N, 4]; wins over the path's own",
    )
    inputs.add_argument(
        "--camera", metavar="PRESET", help="camera preset, such as orbit-left or orbit-left:speed=8,radius=12"
    )
    inputs.add_argument("--camera-json", type=Path, metavar="FILE", help="camera path saved by the path editor")
    inputs.add_argument(
        "--example-data",
        type=_true_or_false,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="take what is not given from upstream's examples, fetched when missing",
    )
    inputs.add_argument("--example-idx", type=int, default=0, metavar="0-5", help="which example (default: 0)")
    inputs.add_argument("--total-blocks", type=int, default=20, help="chunks to generate at most (default: 20)")
    inputs.add_argument("--pixel-height", type=int, default=464, help="default: 464")
    inputs.add_argument("--pixel-width", type=int, default=832, help="default: 832")
    inputs.add_argument("--fit", choices=FITS, default=FITS[0], help="how a photo of another shape is fitted")
    inputs.add_argument("--seed", type=_seed, default=42, help="default: 42")

    outputs = parser.add_argument_group("what to write")
    outputs.add_argument("--output-dir", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs")
    outputs.add_argument("--fps", type=float, default=16, help="frame rate written to the video (default: 16)")
    outputs.add_argument("--contact-sheet", action="store_true", help="also write SLUG.png, frames at a glance")
    outputs.add_argument(
        "--journal", type=Path, metavar="DIR", help="where finished chunks are kept (default: OUTPUT_DIR/journal)"
    )
    outputs.add_argument(
        "--journal-budget",
        type=_gib,
        default=DEFAULT_BUDGET_GIB,
        metavar="GIB",
        help=f"disk space for it (default: {DEFAULT_BUDGET_GIB:g})",
    )

    model = add_model_arguments(parser)
    model.add_argument(
        "--snapshot-budget", type=_gib, default=0.0, metavar="GIB", help="host memory for copies of the KV cache"
    )


def _true_or_false(text: str) -> bool:
    """Upstream's way to write a flag."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return text.lower() == "true"


def _gib(text: str) -> float:
    """A number of GiB, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected GiB, 0 or more, got {text!r}")
    return value


def _seed(text: str) -> int:
    """A seed that a torch generator takes."""
    value = int(text) if text.isdigit() else -1
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^64 - 1, got {text!r}")
    return value
