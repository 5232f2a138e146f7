# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the camera path editor asks the server, as functions of JSON values. Knows nothing of ComfyUI or HTTP.

The editor draws what comes from here, and the node renders through :func:`keyframe_camera` too: both are one path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from lingbot_core.camera.easing import EASINGS
from lingbot_core.camera.files import MAX_KEYFRAMES, parse_camera_path, trajectory_from_json
from lingbot_core.camera.interpolate import normalized, quaternion_from_rotation, rotation_from_quaternion
from lingbot_core.camera.keyboard import CameraIntegrator, KeyEdge, KeyTimeline
from lingbot_core.camera.poses import pose_matrix
from lingbot_core.camera.presets import COMMON_PARAMETERS, PRESETS, Parameter, make_preset
from lingbot_core.camera.speed import SEEN_ROTATION_DEG, SEEN_STEP, chunk_speeds, speed_warnings
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES, CameraTrajectory
from lingbot_core.errors import InputError
from lingbot_core.timeline import num_pixel_frames

from .recent import RecentRollouts

MAX_CHUNKS = 1000
"""Most chunks that a node or the editor asks for."""

Body = Mapping[str, Any]
Keyframes = list[dict[str, Any]]


def keyframe_camera(
    text: str, num_chunks: int | None = None, easing: str = EASINGS[0], world_scale: float = 0.0
) -> CameraTrajectory:
    """The path of camera-path JSON with what the node's other inputs change.

    Args:
        text: Camera-path JSON.
        num_chunks: Length; None is until the last keyframe.
        easing: One of ``EASINGS``; the first one leaves what the JSON says.
        world_scale: Length that the network sees as 1; 0 leaves what the JSON says.

    Raises:
        InputError: Names the place in the JSON.
    """
    changes: dict[str, Any] = {"world_scale": world_scale} if world_scale else {}
    if easing != EASINGS[0]:
        changes["easing"] = easing
    if changes:
        text = parse_camera_path(text).model_copy(update=changes).model_dump_json()
    return trajectory_from_json(text, num_chunks)


def sample(body: Body, recent: RecentRollouts) -> dict[str, Any]:
    """The path frame by frame, how fast it is, and how much of it is computed already.

    Args:
        body: ``path``; optional ``total_blocks`` (0: until the last keyframe), ``easing`` and ``world_scale`` as the
            node has them.
        recent: What was computed lately.
    """
    camera = _camera(body)
    speeds = chunk_speeds(camera)
    num_known, rollout = recent.best_match(camera)
    texts = rollout.texts if rollout else ()
    return {
        "num_frames": camera.num_frames,
        "num_chunks": camera.num_chunks,
        "fps": FRAMES_PER_SECOND,
        "positions": camera.c2w[:, :3, 3].tolist(),
        "rotations": [quaternion_from_rotation(pose) for pose in camera.c2w.tolist()],
        "intrinsics": camera.intrinsics.tolist(),
        "chunks": [
            {
                "index": speed.index,
                "first_frame": speed.first_frame,
                "step": speed.step,
                "rotation_deg": speed.rotation_deg,
                "level": speed.level,
            }
            for speed in speeds
        ],
        "seen": {
            "step": {"median": SEEN_STEP.median, "maximum": SEEN_STEP.maximum},
            "rotation_deg": {"median": SEEN_ROTATION_DEG.median, "maximum": SEEN_ROTATION_DEG.maximum},
        },
        "world_scale": camera.world_scale,
        "warnings": [*_length_warnings(camera), *speed_warnings(speeds)],
        "known_chunks": num_known,
        "text_events": [{"chunk": chunk, "label": label or f"text {i + 1}"} for i, (chunk, label) in enumerate(texts)],
    }


def presets() -> list[dict[str, Any]]:
    """All presets with what can be set."""
    return [
        {
            "name": preset.name,
            "description": preset.description,
            "easings": list(EASINGS),
            "parameters": [_described(parameter) for parameter in (*preset.parameters, *COMMON_PARAMETERS)],
        }
        for preset in PRESETS.values()
    ]


def preset_path(body: Body) -> dict[str, Any]:
    """A preset as keyframes, one at the start and one at the end of every chunk.

    Args:
        body: ``preset``, ``total_blocks``, optional ``options`` as :func:`make_preset` takes them.
    """
    from lingbot_core.camera.exchange import path_json

    name, options = _text(body, "preset"), body.get("options") or {}
    if not isinstance(options, Mapping):
        raise _wrong("options", options, "an object of names and values")
    camera = make_preset(name, _integer(body, "total_blocks", 1, MAX_CHUNKS), None, **options)
    frames = [0, *_chunk_ends(camera.num_chunks)]
    text = path_json(camera, frames, name=name)
    return {"path": text, "warnings": _deviation_warnings(camera, trajectory_from_json(text, camera.num_chunks))}


def fly(body: Body) -> dict[str, Any]:
    """Keyframes of a recorded flight: the start, then where the camera is at every later end of a chunk.

    Args:
        body: ``start`` (``position``, ``rotation`` x, y, z, w), ``edges`` (``time_sec`` since the recording began,
            ``key``, ``is_down``), optional ``num_chunks`` (ends of chunks wanted; by default until the last edge) and
            ``start_sec`` (time of the start on the path, 0).
    """
    start = body.get("start") or {}
    if not isinstance(start, Mapping):
        raise _wrong("start", start, "an object with position and rotation")
    position = _numbers(start.get("position", (0, 0, 0)), "start.position", 3)
    rotation = _numbers(start.get("rotation", (0, 0, 0, 1)), "start.rotation", 4)
    if not any(rotation):
        raise _wrong("start.rotation", rotation, "a quaternion that is not zero")
    start_sec = _number(body.get("start_sec", 0.0), "start_sec", 0, MAX_FRAMES / FRAMES_PER_SECOND)
    edges = _edges(body.get("edges"))
    ends_sec = [
        frame / FRAMES_PER_SECOND - start_sec for frame in _chunk_ends(_first_chunk_ending(start_sec) + MAX_CHUNKS)
    ]
    ends_sec = [end for end in ends_sec if end > 1e-3]
    if body.get("num_chunks"):
        num_ends = _integer(body, "num_chunks", 1, MAX_CHUNKS)
    else:
        last_sec = max((edge.time_sec for edge in edges), default=0.0)
        num_ends = sum(end < last_sec for end in ends_sec) + 1
    ends_sec = ends_sec[:num_ends]
    timeline = KeyTimeline()
    for edge in edges:
        timeline.add(edge)
    num_frames = math.ceil(ends_sec[-1] * FRAMES_PER_SECOND - 1e-6)  # as a live session steps, back from the last end
    times_sec = [ends_sec[-1] - (num_frames - 1 - index) / FRAMES_PER_SECOND for index in range(num_frames)]
    segments = timeline.next_window(num_frames)
    unit = normalized(rotation)
    pose = pose_matrix(rotation_from_quaternion(unit), position)
    poses = CameraIntegrator(torch.tensor(pose, dtype=torch.float64)).follow(segments, times_sec)
    keyframes: Keyframes = [{"time_sec": start_sec, "position": position, "rotation": list(unit)}]
    for end_sec in ends_sec:
        c2w = poses[num_frames - 1 - round((ends_sec[-1] - end_sec) * FRAMES_PER_SECOND)]
        place = [row[3] for row in c2w[:3]]
        turn = list(quaternion_from_rotation(c2w))
        keyframes.append({"time_sec": start_sec + end_sec, "position": place, "rotation": turn})
    return {"keyframes": keyframes}


def import_files(files: Mapping[str, bytes], options: Mapping[str, str]) -> dict[str, Any]:
    """A path from files of another program.

    Args:
        files: Contents by name.
        options: ``frames_per_second`` (16) of the poses; ``exact`` ("1": every pose becomes a keyframe).
    """
    from lingbot_core.camera.exchange import import_path

    per_second = _number(options.get("frames_per_second", FRAMES_PER_SECOND), "frames_per_second", 0.01, 1000)
    found = import_path(files, frames_per_second=per_second, is_exact=options.get("exact", "") in ("1", "true"))
    return {"path": found.text, "format": found.format, "warnings": list(found.warnings)}


def export_path(body: Body) -> tuple[str, str, bytes]:
    """A path as a file of another program.

    Args:
        body: As for :func:`sample`, and ``format``.

    Returns:
        File name, media type, contents.
    """
    from lingbot_core.camera.exchange import export_path as export

    return export(_camera(body), _text(body, "format"))


def _camera(body: Body) -> CameraTrajectory:
    easing = body.get("easing") or EASINGS[0]
    if easing not in EASINGS:
        raise _wrong("easing", easing, f"one of {', '.join(EASINGS)}")
    world_scale = _number(body.get("world_scale") or 0.0, "world_scale", 0, 1e6)
    num_chunks = _integer(body, "total_blocks", 0, MAX_CHUNKS) if "total_blocks" in body else 0
    text = _text(body, "path")
    if not text.strip():
        raise InputError("There are no keyframes.", do="Insert one, or choose a preset.")
    return keyframe_camera(text, num_chunks or None, easing, world_scale)


def _length_warnings(camera: CameraTrajectory) -> list[str]:
    """Whether the path goes on after the video's end."""
    last_sec = parse_camera_path(camera.source).keyframes[-1].time_sec
    end_sec = (camera.num_frames - 1) / FRAMES_PER_SECOND
    if last_sec <= end_sec + 1e-6:
        return []
    return [
        f"The last keyframe is at {last_sec:g} seconds and the video ends at {end_sec:g}. "
        "Raise total_blocks to see it all."
    ]


def _deviation_warnings(preset: CameraTrajectory, path: CameraTrajectory) -> list[str]:
    """Whether keyframes once per chunk are too few for a preset's movement."""
    off = float((preset.c2w[:, :3, 3] - path.c2w[:, :3, 3]).norm(dim=1).max()) / preset.world_scale
    turns = preset.c2w[:, :3, :3].mT @ path.c2w[:, :3, :3] - torch.eye(3, dtype=torch.float64)
    off_deg = math.degrees(float(turns.flatten(1).norm(dim=1).max()) / 2**0.5)
    if off < 0.02 and off_deg < 0.5:
        return []
    return [
        f"One keyframe per chunk follows this movement up to {off:.2f} world scales and {off_deg:.1f} degrees; "
        "for all of it choose the preset in the node."
    ]


def _chunk_ends(num_chunks: int) -> list[int]:
    """Last pixel frame of every chunk: 8, 20, 32, ..."""
    return [num_pixel_frames(index + 1) - 1 for index in range(num_chunks)]


def _first_chunk_ending(time_sec: float) -> int:
    """Chunks that have ended by a moment, roughly."""
    return int(time_sec * FRAMES_PER_SECOND) // 12 + 1


def _described(parameter: Parameter) -> dict[str, Any]:
    names = ("name", "default", "unit", "minimum", "maximum")
    return {name: getattr(parameter, name) for name in names}


# --- reading values ---------------------------------------------------------------------


def _edges(value: Any) -> list[KeyEdge]:
    if not isinstance(value, list) or len(value) > 10 * MAX_KEYFRAMES:
        raise _wrong("edges", value, f"a list of at most {10 * MAX_KEYFRAMES} key edges")
    edges = []
    for index, edge in enumerate(value):
        place = f"edges[{index}]"
        if not isinstance(edge, Mapping):
            raise _wrong(place, edge, "an object with time_sec, key and is_down")
        time_sec = _number(edge.get("time_sec"), f"{place}.time_sec", 0, MAX_FRAMES / FRAMES_PER_SECOND)
        if not isinstance(edge.get("key"), str):
            raise _wrong(f"{place}.key", edge.get("key"), "the name of a key")
        if not isinstance(edge.get("is_down"), bool):
            raise _wrong(f"{place}.is_down", edge.get("is_down"), "true or false")
        edges.append(KeyEdge(time_sec, edge["key"], edge["is_down"]))
    return edges


def _numbers(value: Any, place: str, count: int) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise _wrong(place, value, f"{count} numbers")
    return [_number(item, f"{place}[{index}]", -1e9, 1e9) for index, item in enumerate(value)]


def _number(value: Any, place: str, minimum: float, maximum: float) -> float:
    return _converted(float, value, place, minimum, maximum)


def _integer(body: Body, name: str, minimum: int, maximum: int) -> int:
    value = body.get(name)
    if isinstance(value, float) and not value.is_integer():
        raise _wrong(name, value, "a whole number")
    return int(_converted(int, value, name, minimum, maximum))


def _converted(convert: Callable[[Any], float], value: Any, place: str, minimum: float, maximum: float) -> float:
    try:
        number = math.nan if isinstance(value, bool) else convert(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not minimum <= number <= maximum:  # also when it is NaN
        raise _wrong(
            place, value, f"{'a whole number' if convert is int else 'a number'} from {minimum:g} to {maximum:g}"
        )
    return number


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if isinstance(value, (Mapping, list)):
        raise InputError(f"{name}: this is not text.", got="an object", do="Send the camera path as a JSON string.")
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def _wrong(place: str, value: Any, need: str) -> InputError:
    got = "nothing" if value is None else repr(value)
    return InputError(f"{place}: this cannot be used.", got=got if len(got) <= 60 else f"{got[:57]}...", need=need)
