# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Measurements in processes of their own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lingbot_core.errors import LingBotError
from lingbot_core.executor.processes import children_of

_log = logging.getLogger(__name__)


def run_module(arguments: Sequence[str], what: str, timeout_sec: float, environment: Mapping[str, str]) -> str:
    """Run ``python -m`` with this source tree.

    Args:
        arguments: Name of the module, and what follows it.
        what: What runs, the beginning of a sentence.
        timeout_sec: Longest time that it may take.
        environment: Variables beside those of this process.

    Returns:
        What it printed.

    Raises:
        LingBotError: It failed, which is told in its last words, or took too long.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout_sec)
    except subprocess.TimeoutExpired as error:
        raise LingBotError(f"{what} took longer than {timeout_sec:.0f} s.", do="Choose a smaller size.") from error
    finally:
        _kill(process)
    if process.returncode != 0:
        _log.error("The process wrote:\n%s", errors)
        raise LingBotError(f"{what} failed.", got=_last_words(errors) or str(process.returncode))
    return output


def _kill(process: subprocess.Popen) -> None:
    """End a process that still runs, and all that it has started, which may hold GPUs."""
    if process.poll() is not None:
        return
    for child in children_of(process.pid):
        child.kill()
    process.kill()
    process.communicate()


def _last_words(text: str) -> str:
    """The last line that names an error, for torch elastic writes many more behind it; else the last line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return next((line for line in reversed(lines) if "Error: " in line), lines[-1] if lines else "")
