# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What tests share: the tiny checkpoint, a restored log, and skipping what this machine cannot run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.comfy.comfy_host import reason_to_skip as reason_to_skip_comfy


def _missing_folder(variable: str) -> str:
    """Why the folder that an environment variable names cannot be used; empty when it can."""
    folder = os.environ.get(variable, "")
    if not folder:
        return f"{variable} is not set"
    return "" if Path(folder).is_dir() else f"{variable}={folder} is not a folder"


def _missing_gpus(needed: int) -> str:
    """Why a test that needs this many CUDA GPUs cannot run; empty when it can."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return "" if found >= needed else f"needs {needed} CUDA GPU(s), found {found}"


REASONS_TO_SKIP: dict[str, Callable[[], str]] = {
    "gpu": lambda: _missing_gpus(1),
    "multigpu": lambda: _missing_gpus(2),
    "weights": lambda: _missing_folder("LINGBOT_WEIGHTS"),
    "comfy": reason_to_skip_comfy,
}
"""Marker -> reason why its tests cannot run here, empty when they can."""


def pytest_report_header() -> list[str]:
    """Say in one line why the tests with ComfyUI will not run, if so."""
    reason = reason_to_skip_comfy()
    return [f"tests with ComfyUI are skipped: {reason}"] if reason else []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test, with the reason, where what it needs is absent."""
    for marker, reason_to_skip in REASONS_TO_SKIP.items():
        if item.get_closest_marker(marker) and (reason := reason_to_skip()):
            pytest.skip(reason)


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Undo what the command line does to the log, for the tests that follow."""
    logger = logging.getLogger("lingbot_core")
    handlers, level = logger.handlers, logger.level
    yield
    logger.handlers = handlers
    logger.setLevel(level)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete tiny checkpoint, as ``--checkpoint-root`` takes it. Made once; do not change it."""
    from lingbot_core.make_checkpoint import make_checkpoint

    folder = tmp_path_factory.mktemp("tiny_checkpoint")
    make_checkpoint(folder, "tiny")
    return folder
