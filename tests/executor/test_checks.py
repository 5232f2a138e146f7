# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from lingbot_core import preflight
from lingbot_core.errors import ResourceError
from lingbot_core.executor.checks import find_model
from lingbot_core.options import ModelOptions
from lingbot_core.preflight import GIB
from lingbot_core.variants import get_variant
from tests.test_hub import point_to

VARIANT = get_variant("lingbot-world-fast-taehv-window15-sink3")


def test_find_model_before_a_download_counts_memory_that_others_can_give_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The network is asked only when the model will fit."""
    point_to("http://127.0.0.1:9", tmp_path / "hub", monkeypatch)
    free, rooms = 10 * GIB, []
    monkeypatch.setattr(preflight, "free_memory", lambda device: free)
    options = ModelOptions(device="cpu", precision="bf16", cache_dir=tmp_path / "cache")

    def find(can_be_freed: int) -> None:
        def make_room(num_bytes: int) -> None:
            nonlocal free
            rooms.append(num_bytes)
            free = 10 * GIB + can_be_freed

        find_model(VARIANT, options, lambda text: None, make_room)

    with pytest.raises(ResourceError, match=r"Not enough memory.*20\.0 GiB free"):
        find(can_be_freed=10 * GIB)
    with pytest.raises(ResourceError, match="cannot be reached"):
        find(can_be_freed=90 * GIB)
    assert rooms == [rooms[0]] * 2 and 45 * GIB < rooms[0] < 80 * GIB
    free = 10 * GIB
    with pytest.raises(ResourceError, match="Not enough memory"):
        find_model(VARIANT, options, lambda text: None)
