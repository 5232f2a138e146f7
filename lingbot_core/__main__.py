# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m lingbot_core``: the same as ``lingbot-world``."""

from __future__ import annotations

import sys

from lingbot_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
