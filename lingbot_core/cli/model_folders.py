# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's model folders, as commands find them: named by the user, and those of a ComfyUI that is installed."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from lingbot_core.errors import InputError

log = logging.getLogger(__name__)

COMFYUI_PATH = "COMFYUI_PATH"
"""Environment variable that names a ComfyUI."""

_PACK = Path(__file__).absolute().parents[2]
"""The folder that holds ``lingbot_core``: a custom node pack when it is installed as one."""

_USUAL = Path("~/comfy/ComfyUI")
"""Where ComfyUI's own installer, ``comfy install``, puts it."""


def add_models_dir(parser: argparse._ActionsContainer) -> None:
    """Declare ``--models-dir``."""
    parser.add_argument(
        "--models-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="ComfyUI models folder (repeatable); searched before those of the ComfyUI that has this pack in its "
        f"custom_nodes, of the one that {COMFYUI_PATH} names, and of {_USUAL}",
    )


def find_model_folders(named: list[Path]) -> tuple[Path, ...]:
    """Model folders to search, in order, each once.

    Args:
        named: What the user gave with ``--models-dir``.

    Raises:
        InputError: One of those is no folder.
    """
    for folder in named:
        if not folder.is_dir():
            raise InputError(f"The models folder {folder} is not a folder.", do="Correct --models-dir.")
    unique: dict[Path, Path] = {}
    for folder in (*named, *(comfyui / "models" for comfyui in _installed())):
        unique.setdefault(folder.resolve(), folder)
    return tuple(unique.values())


def _installed() -> Iterator[Path]:
    """Every ComfyUI on this machine that can be found without searching."""
    if _PACK.parent.name == "custom_nodes":
        yield _PACK.parent.parent
    given = os.environ.get(COMFYUI_PATH)
    if given and not (Path(given).expanduser() / "models").is_dir():
        log.warning("%s names %s, which has no models folder; it is left out.", COMFYUI_PATH, given)
    elif given:
        yield Path(given).expanduser()
    usual = _USUAL.expanduser()
    if (usual / "models").is_dir():
        yield usual
