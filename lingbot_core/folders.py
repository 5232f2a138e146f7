# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Where things are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).parents[1]
"""Where ``python -m lingbot_core`` works, whatever is installed: in ComfyUI the folder of the pack."""


def default_cache_dir() -> Path:
    """Folder of our own cache: ``LINGBOT_CACHE_DIR``, else ``lingbot-world`` in the user's cache folder."""
    own = os.environ.get("LINGBOT_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own).expanduser() if own else Path(base) / "lingbot-world"
