# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The tests of the browser's part, run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MIN_NODE = 20


def _node() -> str:
    """Path of a Node that can run the tests; the test is skipped where there is none."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on PATH; the camera editor's tests need Node.js 20 or newer")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"node is {version}; the camera editor's tests need Node.js {MIN_NODE} or newer")
    return node


def test_browser_modules_pass_their_own_tests() -> None:
    files = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*.test.mjs"))
    assert files
    result = subprocess.run(
        [_node(), "--test", "--test-reporter=tap", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    failures = [line for line in result.stdout.splitlines() if "not ok" in line or "error:" in line]
    assert result.returncode == 0, "\n".join(failures) or result.stdout + result.stderr
