# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world make-checkpoint``: a checkpoint with random weights, to try everything without a download."""

from __future__ import annotations

import argparse
from pathlib import Path

from lingbot_core.make_checkpoint import CHECKPOINT_SIZES, make_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world make-checkpoint``."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--size", choices=CHECKPOINT_SIZES, default="tiny", help="tiny runs in seconds on a CPU")


def run(args: argparse.Namespace) -> int:
    """Write the checkpoint and say how to use it."""
    make_checkpoint(args.out, args.size)
    print(f"Wrote a {args.size} checkpoint to {args.out}. Its weights are random, so its pictures are noise.")
    print(f"Use it with: python -m lingbot_core generate SLUG --checkpoint-root {args.out} ...")
    return 0
