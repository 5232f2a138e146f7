# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of recent rollouts: the longest common beginning, the newest of equals, no pictures."""

from __future__ import annotations

import torch

from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory
from lingbot_core.camera.presets import make_preset
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.executor.base import RolloutRequest, TextEvent
from nodes.recent import MAX_RECENT, RecentRollouts


def request(camera: CameraTrajectory, prompt: str = "a lake") -> RolloutRequest:
    return RolloutRequest(torch.zeros(64, 96, 3, dtype=torch.uint8), camera, (TextEvent(0, prompt),), camera.num_chunks)


def bent(last_x: float) -> CameraTrajectory:
    """A path that depends on ``last_x`` from chunk 2 on."""
    keyframes = [Keyframe(0.75 * i, (last_x if i == 4 else 0.75 * i, 0, 2.0 * i)) for i in range(5)]
    return keyframe_trajectory(keyframes, 4)


def test_nothing_is_known_at_first() -> None:
    assert RecentRollouts().best_match(make_preset("static", 2)) == (0, None)


def test_chunks_are_known_until_the_path_bends() -> None:
    recent = RecentRollouts()
    recent.note(request(bent(3.0)), 4)
    assert recent.best_match(bent(3.0))[0] == 4
    assert recent.best_match(bent(5.0))[0] == 2
    assert recent.best_match(make_preset("pan-left", 4))[0] == 0


def test_only_chunks_that_were_computed_count() -> None:
    recent, asked = RecentRollouts(), request(bent(3.0))
    for num_chunks in (1, 2, 3):
        recent.note(asked, num_chunks)
        assert recent.best_match(bent(3.0))[0] == num_chunks


def test_longest_match_wins_and_the_newest_of_equals() -> None:
    recent = RecentRollouts()
    recent.note(request(bent(3.0), "old"), 4)
    recent.note(request(bent(3.0), "new"), 4)
    recent.note(request(bent(3.0), "short"), 1)
    num_known, match = recent.best_match(bent(3.0))
    assert num_known == 4 and match is not None and match.texts == ((0, "new"),)


def test_without_a_match_the_newest_tells_its_texts() -> None:
    recent = RecentRollouts()
    recent.note(request(bent(3.0), "lake"), 4)
    num_known, match = recent.best_match(make_preset("pan-left", 2))
    assert num_known == 0 and match is not None and match.texts == ((0, "lake"),)


def test_other_lens_is_another_path() -> None:
    recent = RecentRollouts()
    recent.note(request(make_preset("dolly-in", 2)), 2)
    zoomed = make_preset("dolly-in", 2, torch.tensor([600.0, 600, 416, 240]))
    assert recent.best_match(zoomed)[0] == 0


def test_old_rollouts_are_forgotten() -> None:
    recent = RecentRollouts()
    recent.note(request(bent(3.0)), 4)
    for _ in range(MAX_RECENT):
        recent.note(request(make_preset("static", 1)), 1)
    assert recent.best_match(bent(3.0))[0] == 0
