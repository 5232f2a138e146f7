# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Which camera paths were computed lately, so that the editor can show which edits are free.

Knows nothing of ComfyUI.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import torch

from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.executor.base import RolloutRequest

MAX_RECENT = 8
"""Rollouts remembered."""


@dataclass(frozen=True)
class RecentRollout:
    """What is remembered of a rollout: no picture, no text encoding."""

    camera: CameraTrajectory
    """Its path."""

    size: tuple[int, int]
    """Height and width of its frames in pixels."""

    num_chunks: int
    """Chunks computed so far."""

    texts: tuple[tuple[int, str], ...]
    """First chunk of every text, and the beginning of the prompt, empty when unknown."""


class RecentRollouts:
    """The newest rollouts; may be used from several threads."""

    def __init__(self) -> None:
        self._rollouts: deque[RecentRollout] = deque(maxlen=MAX_RECENT)
        """Newest last."""

        self._lock = threading.Lock()

    def note(self, request: RolloutRequest, num_chunks: int) -> None:
        """Remember that the first chunks of a request are known. Told again, the number is brought up to date."""
        height, width = request.photo.shape[:2]
        texts = tuple((event.chunk_index, event.prompt[:80]) for event in request.text)
        rollout = RecentRollout(request.camera, (height, width), num_chunks, texts)
        with self._lock:
            if self._rollouts and self._rollouts[-1].camera is request.camera:
                self._rollouts.pop()
            self._rollouts.append(rollout)

    def best_match(self, camera: CameraTrajectory) -> tuple[int, RecentRollout | None]:
        """The rollout that shares the longest beginning with a path, the newest of equals.

        Returns:
            Chunks of the path that it has, and the rollout; the newest one when none has any, None when there is none.
        """
        with self._lock:
            rollouts = list(reversed(self._rollouts))
        best, match = 0, rollouts[0] if rollouts else None
        for rollout in rollouts:
            num_known = _num_shared_chunks(camera, rollout)
            if num_known > best:
                best, match = num_known, rollout
        return best, match


def _num_shared_chunks(camera: CameraTrajectory, rollout: RecentRollout) -> int:
    """Chunks from the first on whose cameras are the same numbers to the network."""
    num_chunks = min(camera.num_chunks, rollout.num_chunks)
    for index in range(num_chunks):
        ours, theirs = camera.chunk(index, *rollout.size), rollout.camera.chunk(index, *rollout.size)
        same_poses = torch.equal(ours.relative_poses, theirs.relative_poses)
        if not (same_poses and torch.equal(ours.intrinsics, theirs.intrinsics)):
            return index
    return num_chunks
