# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Steering with the keyboard: keys pressed over time become camera poses.

Three steps, each testable alone: ``HeldKeys`` says which keys count, ``KeyTimeline`` cuts a chunk's
time window into segments of constant keys, ``CameraIntegrator`` moves the camera through them. Speeds,
precedence and the order of rotation and movement are upstream's.

    keys:  w/s or Up/Down    forward, backward        a/d, j/l or Left/Right   turn
           q/e               sideways                 i/k                      look up, down
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from lingbot_core.camera.intrinsics import check_intrinsics, default_intrinsics
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE, compose, pitch_rotation, pose_matrix, yaw_rotation
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES, CameraTrajectory, check_num_chunks
from lingbot_core.timeline import chunk_pixel_frames

MOVE_SPEED = 0.8
"""Units per second while a movement key is down."""

TURN_SPEED_RAD = math.radians(32.0)
"""Radians per second while a turning key is down."""

PITCH_LIMIT_RAD = math.radians(85.0)
"""The camera looks up and down at most this far."""

ALIASES = {"arrowup": "w", "arrowleft": "a", "arrowdown": "s", "arrowright": "d"}
"""Other names of keys."""

COMPONENTS = ("ws", "adjl", "qe", "ik")
"""Keys that exclude each other: of each group the one pressed last counts."""

TIME_SLACK_SEC = 1e-9
"""Times closer than this are the same."""


def read_key(key: str) -> str:
    """The key as one of ``COMPONENTS``' letters; empty for keys without a meaning."""
    name = key.strip().lower()
    name = ALIASES.get(name, name)
    return name if len(name) == 1 and any(name in component for component in COMPONENTS) else ""


@dataclass(frozen=True, order=True)
class KeyEdge:
    """A key going down or up. Ordered by time alone."""

    time_sec: float
    """When, on the clock of the timeline."""

    key: str = field(compare=False)
    """Any key name; those without a meaning are ignored."""

    is_down: bool = field(compare=False)
    """True when it was pressed."""


class HeldKeys:
    """The keys that are down, in order of their last press."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def apply(self, edge: KeyEdge) -> None:
        """Take note of an edge. Pressing a held key again makes it the latest."""
        key = read_key(edge.key)
        if key in self._held:
            self._held.remove(key)
        if key and edge.is_down:
            self._held.append(key)

    def active(self) -> frozenset[str]:
        """The keys that count: of each component the one pressed last."""
        latest = ([key for key in self._held if key in component][-1:] for component in COMPONENTS)
        return frozenset(key for keys in latest for key in keys)


@dataclass(frozen=True)
class KeySegment:
    """A stretch of time with the same keys."""

    start_sec: float
    """Where it begins."""

    end_sec: float
    """Where it ends, after the beginning."""

    keys: frozenset[str]
    """The keys that count."""


class KeyTimeline:
    """A virtual clock that hands out key segments, one chunk's window after the other.

    Call order: ``add`` edges as they come (an edge that comes late is sorted in by its time), then
    ``next_window`` once per chunk when its window is over. ``jump_to`` skips time: keys that went down
    or up in the gap are known afterwards, but moved nothing.
    """

    def __init__(self, start_sec: float = 0.0) -> None:
        self.position_sec = start_sec
        """Start of the next window."""

        self._edges: list[KeyEdge] = []
        """Edges that no window has consumed, in order of time."""

        self._held = HeldKeys()
        """Keys down at the start of the next window, as far as consumed edges tell."""

    def add(self, edge: KeyEdge) -> None:
        """Log an edge. Edges of the same time keep the order in which they came."""
        insort(self._edges, edge)

    def jump_to(self, start_sec: float) -> None:
        """Let the next window begin at a later time."""
        assert start_sec >= self.position_sec, (start_sec, self.position_sec)
        self.position_sec = start_sec

    def catch_up(self, now_sec: float, num_frames: int) -> None:
        """Skip time when generation has fallen behind, so that a stall does not make the camera leap.

        Args:
            now_sec: The time now.
            num_frames: Pixel frames of the next chunk. If its window ended more than one such window
                ago, the window moves to end now.
        """
        window_sec = num_frames / FRAMES_PER_SECOND
        if now_sec > self.position_sec + 2.0 * window_sec:
            self.jump_to(now_sec - window_sec)

    def next_window(self, num_frames: int) -> list[KeySegment]:
        """Segments of the next ``num_frames`` pixel frames, without gaps, in order."""
        start_sec, end_sec = self.position_sec, self.position_sec + num_frames / FRAMES_PER_SECOND
        segments: list[KeySegment] = []
        position_sec = start_sec
        while self._edges and self._edges[0].time_sec <= end_sec:
            edge = self._edges.pop(0)
            if edge.time_sec > position_sec:
                segments.append(KeySegment(position_sec, edge.time_sec, self._held.active()))
                position_sec = edge.time_sec
            self._held.apply(edge)
        if end_sec > position_sec:
            segments.append(KeySegment(position_sec, end_sec, self._held.active()))
        self.position_sec = end_sec
        return segments


class CameraIntegrator:
    """Moves a camera through key segments.

    Turns about the world's vertical axis and the camera's own horizontal one, so no roll builds up. Sums
    angles instead of multiplying rotations, so nothing drifts however long a session lasts. Height never changes.
    """

    def __init__(self, c2w: Tensor | None = None) -> None:
        """Start at a pose, ``[4, 4]``; at the origin, looking along +z, when None."""
        rows = torch.eye(4).tolist() if c2w is None else c2w.tolist()
        self._start_rotation = [row[:3] for row in rows[:3]]
        self._position = [row[3] for row in rows[:3]]
        self._yaw_rad = 0.0
        """Turn to the right since the start."""

        self._turn_up_rad = 0.0
        """Turn upward since the start."""

        self._start_pitch_rad = math.asin(max(-1.0, min(1.0, -self._start_rotation[1][2])))
        """How far the first camera looks up."""

    def pose(self) -> list[list[float]]:
        """Camera-to-world matrix of now, as nested lists."""
        return pose_matrix(self._rotation(), self._position)

    def advance(self, keys: Iterable[str], duration_sec: float) -> None:
        """Hold keys for a while: turn first, then move where the camera then looks.

        A turn that would go beyond the pitch limit is left out altogether, as upstream does.
        """
        held = set(keys)
        turn_rad = TURN_SPEED_RAD * duration_sec
        self._yaw_rad += turn_rad * (bool(held & set("dl")) - bool(held & set("aj")))
        turn_up_rad = self._turn_up_rad + turn_rad * (("i" in held) - ("k" in held))
        if abs(self._start_pitch_rad + turn_up_rad) <= PITCH_LIMIT_RAD:
            self._turn_up_rad = turn_up_rad

        step = MOVE_SPEED * duration_sec
        rotation = self._rotation()
        for column, amount in ((2, ("w" in held) - ("s" in held)), (0, ("e" in held) - ("q" in held))):
            x, z = rotation[0][column], rotation[2][column]
            level = math.hypot(x, z)
            if amount and level:  # an axis that points straight up or down leads nowhere
                self._position[0] += amount * step * x / level
                self._position[2] += amount * step * z / level

    def follow(self, segments: Sequence[KeySegment], frame_times_sec: Sequence[float]) -> list[list[list[float]]]:
        """Walk through segments and take the pose at every frame time.

        Args:
            segments: Without gaps, in order, at least one.
            frame_times_sec: Increasing, within the segments.

        Returns:
            One camera-to-world matrix per frame time.
        """
        assert segments and frame_times_sec, (len(segments), len(frame_times_sec))
        start_sec, end_sec = segments[0].start_sec, segments[-1].end_sec
        assert all(a < b for a, b in pairwise(frame_times_sec)), frame_times_sec
        assert start_sec - TIME_SLACK_SEC <= frame_times_sec[0], (start_sec, frame_times_sec)
        assert frame_times_sec[-1] <= end_sec + TIME_SLACK_SEC, (end_sec, frame_times_sec)
        poses: list[list[list[float]]] = []
        for segment in segments:
            position_sec = segment.start_sec
            while len(poses) < len(frame_times_sec) and frame_times_sec[len(poses)] <= segment.end_sec + TIME_SLACK_SEC:
                frame_sec = frame_times_sec[len(poses)]
                self.advance(segment.keys, max(frame_sec - position_sec, 0.0))
                position_sec = frame_sec
                poses.append(self.pose())
            if segment.end_sec > position_sec:
                self.advance(segment.keys, segment.end_sec - position_sec)
        return poses

    def _rotation(self) -> list[list[float]]:
        return compose(compose(yaw_rotation(self._yaw_rad), self._start_rotation), pitch_rotation(self._turn_up_rad))


def sample_chunk(
    timeline: KeyTimeline, integrator: CameraIntegrator, num_frames: int
) -> tuple[list[KeySegment], list[float], Tensor]:
    """Poses of the next chunk.

    A frame shows the camera at its end: the first frame already holds one frame of motion.

    Args:
        timeline: Keys; moved on by one window.
        integrator: Camera; moved on by the same.
        num_frames: Pixel frames of the chunk, 9 or 12.

    Returns:
        The window's segments, the frame times in seconds, and the poses, float64 ``[num_frames, 4, 4]``.
    """
    start_sec = timeline.position_sec
    segments = timeline.next_window(num_frames)
    times_sec = [start_sec + (index + 1) / FRAMES_PER_SECOND for index in range(num_frames)]
    return segments, times_sec, torch.tensor(integrator.follow(segments, times_sec), dtype=torch.float64)


def keyboard_trajectory(
    edges: Iterable[KeyEdge],
    num_chunks: int,
    *,
    intrinsics: Tensor | None = None,
    world_scale: float = DEFAULT_WORLD_SCALE,
    name: str = "keyboard",
) -> CameraTrajectory:
    """The path that recorded keys steer, the clock starting at zero.

    Args:
        edges: Key edges, in any order.
        num_chunks: Length of the path.
        intrinsics: (fx, fy, cx, cy) in pixels of a 480x832 frame, ``[4]``; the default ones when None.
        world_scale: Length that the network sees as 1.
        name: What the path is called in messages.

    Raises:
        InputError: The number of chunks or the intrinsics cannot be used.
    """
    num_frames = check_num_chunks(num_chunks, MAX_FRAMES)
    timeline, integrator = KeyTimeline(), CameraIntegrator()
    for edge in edges:
        timeline.add(edge)
    chunks = [sample_chunk(timeline, integrator, chunk_pixel_frames(index))[2] for index in range(num_chunks)]
    rows = default_intrinsics(num_frames) if intrinsics is None else check_intrinsics(intrinsics.double(), num_frames)
    return CameraTrajectory(torch.cat(chunks), rows, world_scale, name)
