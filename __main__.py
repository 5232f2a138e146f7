# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``python <this folder>``: the same as ``lingbot-world``, without installing the package.

Also works in the Python of ComfyUI's portable build for Windows, which knows no modules of the current folder.
"""

from __future__ import annotations

import sys

from lingbot_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
