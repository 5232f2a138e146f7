# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world variants``: what can be generated with."""

from __future__ import annotations

import argparse
import json

from lingbot_core.variants import VARIANTS, Variant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world variants``."""
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print every variant."""
    if args.json:
        print(json.dumps([_as_dict(variant) for variant in VARIANTS.values()], indent=2))
        return 0
    header = ("slug", "decoder", "window", "sink", "download", "licence of the weights")
    rows = [header, *(_row(variant) for variant in VARIANTS.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\nWindow and sink in latent frames. Add --json for the files of each.")
    return 0


def _row(variant: Variant) -> tuple[str, ...]:
    size = f"about {variant.about_bytes / 1e9:.0f} GB"
    counts = (str(variant.window_frames), str(variant.sink_frames))
    return (variant.slug, variant.decoder, *counts, size, variant.dit.licence)


def _as_dict(variant: Variant) -> dict[str, object]:
    files = [
        {
            "role": weights.role,
            "repo": weights.repo,
            "path": weights.path,
            "about_bytes": weights.about_bytes,
            "licence": weights.licence,
        }
        for weights in variant.weights
    ]
    return {
        "slug": variant.slug,
        "title": variant.title,
        "decoder": variant.decoder,
        "window_frames": variant.window_frames,
        "sink_frames": variant.sink_frames,
        "schedule": variant.schedule,
        "about_bytes": variant.about_bytes,
        "files": files,
    }
