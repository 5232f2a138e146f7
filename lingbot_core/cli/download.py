# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world download``: bring a variant's weights onto this machine."""

from __future__ import annotations

import argparse

from lingbot_core.cli.console import say
from lingbot_core.cli.model_folders import add_models_dir, find_model_folders
from lingbot_core.variants import get_variant
from lingbot_core.weights import FileStatus, Places, find_all, plan_download


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world download``."""
    parser.add_argument("slug", help="variant; see `lingbot-world variants`")
    parser.add_argument(
        "--dry-run", action="store_true", help="only show every file, its size, and where it is when it is there"
    )
    add_models_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Show what a variant consists of, then download what is missing."""
    variant = get_variant(args.slug)
    places = Places(model_dirs=find_model_folders(args.models_dir))
    if args.dry_run:
        _print_plan(plan_download(variant, places))
        return 0
    for role, found in find_all(variant, places, on_message=say).items():
        print(f"{role}: {found.path} ({found.origin})")
    return 0


def _print_plan(files: list[FileStatus]) -> None:
    """One line per file, then totals and the licences of what is missing."""
    for file in files:
        where = f"{file.where} ({file.origin})" if file.present else "missing"
        print(f"{_size(file.num_bytes, file.exact):>14}  {file.repo}/{file.path}  {where}")
    missing = [file for file in files if not file.present]
    exact = all(file.exact for file in missing)
    num_bytes = sum(file.num_bytes for file in missing)
    print(f"\n{len(files)} files, {len(missing)} missing: {_size(num_bytes, exact).strip()} to download.")
    for repo, licence in sorted({(file.repo, file.licence) for file in missing}):
        print(f"Licence of the weights in {repo}: {licence}")


def _size(num_bytes: int, exact: bool) -> str:
    """A size in decimal units, marked when it is not exact."""
    number = f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"
    return number if exact else f"about {number}"
