# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Entry of the pack for ComfyUI. Importing it needs nothing of ComfyUI and loads nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension  # pyright: ignore[reportMissingImports]

WEB_DIRECTORY = "./js"
"""Folder served to the browser: help pages."""

_FOLDER = str(Path(__file__).parent)
if _FOLDER not in sys.path:
    # appended, so that our `nodes` package never shadows ComfyUI's `nodes` module
    sys.path.append(_FOLDER)


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls to get the nodes."""
    from .nodes.extension import LingBotExtension

    return LingBotExtension()
