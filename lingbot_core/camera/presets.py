# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Named camera movements, each a function of the way travelled.

The way is speed times (eased) time, so a longer path begins with the shorter one, bit for bit; only
the end of an ease-out moves with the end. Poses are computed one by one for the same reason: see
:mod:`lingbot_core.camera.interpolate`.

Default speeds are what the model has seen: in upstream's examples a latent frame moves the camera by 0.6 to
0.8 of the world scale (median) and turns it by 0.4 to 2 degrees (median), up to 29.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lingbot_core.camera.easing import EASINGS, eased_time
from lingbot_core.camera.intrinsics import check_intrinsics, default_intrinsics
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE, compose, pitch_rotation, pose_matrix, yaw_rotation
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES, CameraTrajectory, check_num_chunks
from lingbot_core.errors import InputError

Matrix = list[list[float]]
PoseAt = Callable[[float, Mapping[str, float]], Matrix]
"""Way travelled (units or degrees) and parameter values -> camera-to-world matrix."""

SOFT_STOP_DEG = 5.0
"""A tilt slows down over the last degrees before its limit."""


@dataclass(frozen=True)
class Parameter:
    """A number that shapes a preset."""

    name: str
    """As the user writes it."""

    default: float
    """Value when it is left out."""

    unit: str
    """Unit in words. A "unit" is a length of the scene; the network sees the world scale as 1."""

    minimum: float
    """Smallest value allowed."""

    maximum: float
    """Largest value allowed."""


@dataclass(frozen=True)
class Preset:
    """A named movement that starts at the origin, looking along +z, level."""

    name: str
    """As the user writes it."""

    description: str
    """One sentence for menus and help."""

    pose_at: PoseAt
    """The camera after a way."""

    parameters: tuple[Parameter, ...] = ()
    """What can be set, besides the easing. Empty for a camera at rest."""


MOVE_SPEED = Parameter("speed", 3.5, "units per second", 0.01, 100.0)
PAN_SPEED = Parameter("speed", 12.0, "degrees per second", 0.01, 120.0)
TILT_SPEED = Parameter("speed", 8.0, "degrees per second", 0.01, 120.0)
TILT_LIMIT = Parameter("limit", 60.0, "degrees", 1.0, 89.0)
RADIUS = Parameter("radius", 16.0, "units", 0.01, 1e4)
BOB = Parameter("bob", 0.06, "units", 0.0, 10.0)
STRIDE = Parameter("stride", 3.5, "units", 0.1, 1e3)
LOOK_ANGLE = Parameter("look", 25.0, "degrees", 0.0, 90.0)
LOOK_WAY = Parameter("look_way", 21.0, "units", 0.1, 1e4)
EASE_SEC = Parameter("ease_sec", 1.5, "seconds", 0.01, 60.0)
WORLD_SCALE = Parameter("world_scale", DEFAULT_WORLD_SCALE, "units", 1e-6, 1e6)
COMMON_PARAMETERS = (EASE_SEC, WORLD_SCALE)
"""Parameters that every moving preset has in addition to its own."""


def _static(way: float, values: Mapping[str, float]) -> Matrix:
    return pose_matrix(yaw_rotation(0.0), (0.0, 0.0, 0.0))


def _move(x: float, y: float, z: float) -> PoseAt:
    """Straight along one axis, without turning."""
    return lambda way, values: pose_matrix(yaw_rotation(0.0), (x * way, y * way, z * way))


def _pan(sign: float) -> PoseAt:
    return lambda way, values: pose_matrix(yaw_rotation(math.radians(sign * way)), (0.0, 0.0, 0.0))


def _tilt(sign: float) -> PoseAt:
    def pose_at(way: float, values: Mapping[str, float]) -> Matrix:
        angle_deg = sign * _soft_limit(way, values["limit"])
        return pose_matrix(pitch_rotation(math.radians(angle_deg)), (0.0, 0.0, 0.0))

    return pose_at


def _soft_limit(angle_deg: float, limit_deg: float) -> float:
    """The angle, slowing down evenly before the limit and never beyond it."""
    softness = min(SOFT_STOP_DEG, limit_deg)
    missing = limit_deg + softness - angle_deg  # from where the parabola rests
    if missing >= 2.0 * softness:
        return angle_deg
    return limit_deg - max(missing, 0.0) ** 2 / (4.0 * softness)


def _orbit(sign: float) -> PoseAt:
    """Around the point ``radius`` units ahead, looking at it."""

    def pose_at(way: float, values: Mapping[str, float]) -> Matrix:
        angle, radius = math.radians(way), values["radius"]
        place = (-sign * radius * math.sin(angle), 0.0, radius * (1.0 - math.cos(angle)))
        return pose_matrix(yaw_rotation(sign * angle), place)

    return pose_at


def _walk(way: float, values: Mapping[str, float]) -> Matrix:
    """Level, the head lowest in mid-stride."""
    drop = values["bob"] * (1.0 - math.cos(2.0 * math.pi * way / values["stride"])) / 2.0
    return pose_matrix(yaw_rotation(0.0), (0.0, drop, way))


def _walk_and_look(way: float, values: Mapping[str, float]) -> Matrix:
    """As walking, the head turning right, left and back."""
    yaw_rad = math.radians(values["look"]) * math.sin(2.0 * math.pi * way / values["look_way"])
    walking = _walk(way, values)
    rotation = compose(yaw_rotation(yaw_rad), walking)
    return pose_matrix(rotation, [row[3] for row in walking[:3]])


def _registry(*presets: Preset) -> dict[str, Preset]:
    return {preset.name: preset for preset in presets}


PRESETS: Mapping[str, Preset] = _registry(
    Preset("static", "The camera stands still.", _static),
    Preset("orbit-left", "Moves left on a circle, looking at its centre.", _orbit(1), (PAN_SPEED, RADIUS)),
    Preset("orbit-right", "Moves right on a circle, looking at its centre.", _orbit(-1), (PAN_SPEED, RADIUS)),
    Preset("dolly-in", "Glides forward.", _move(0, 0, 1), (MOVE_SPEED,)),
    Preset("dolly-out", "Glides backward.", _move(0, 0, -1), (MOVE_SPEED,)),
    Preset("truck-left", "Glides to the left.", _move(-1, 0, 0), (MOVE_SPEED,)),
    Preset("truck-right", "Glides to the right.", _move(1, 0, 0), (MOVE_SPEED,)),
    Preset("pedestal-up", "Rises.", _move(0, -1, 0), (MOVE_SPEED,)),
    Preset("pedestal-down", "Sinks.", _move(0, 1, 0), (MOVE_SPEED,)),
    Preset("pan-left", "Turns left on the spot.", _pan(-1), (PAN_SPEED,)),
    Preset("pan-right", "Turns right on the spot.", _pan(1), (PAN_SPEED,)),
    Preset("tilt-up", "Looks up, to a limit.", _tilt(1), (TILT_SPEED, TILT_LIMIT)),
    Preset("tilt-down", "Looks down, to a limit.", _tilt(-1), (TILT_SPEED, TILT_LIMIT)),
    Preset("walk-forward", "Walks ahead with a light bob.", _walk, (MOVE_SPEED, BOB, STRIDE)),
    Preset(
        "walk-and-look",
        "Walks ahead, looking right and left.",
        _walk_and_look,
        (MOVE_SPEED, BOB, STRIDE, LOOK_ANGLE, LOOK_WAY),
    ),
)
"""All presets by name."""


def make_preset(
    name: str, num_chunks: int, intrinsics: Tensor | None = None, /, **options: float | str
) -> CameraTrajectory:
    """A camera path from a preset.

    Args:
        name: One of ``PRESETS``.
        num_chunks: Length of the path.
        intrinsics: (fx, fy, cx, cy) in pixels of a 480x832 frame, ``[4]``; the default ones when None.
        options: ``easing`` (one of ``EASINGS``), ``ease_sec``, ``world_scale`` and the preset's own
            parameters. Numbers may be given as text.

    Raises:
        InputError: Unknown name or option, or a value that cannot be used.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise InputError("This camera preset is unknown.", got=repr(name), need=f"one of {', '.join(PRESETS)}")
    easing, values = _read_options(preset, options)
    num_frames = check_num_chunks(num_chunks, MAX_FRAMES)
    if intrinsics is None:
        rows = default_intrinsics(num_frames)
    else:
        rows = check_intrinsics(intrinsics.to("cpu", torch.float64), num_frames)
    duration_sec = (num_frames - 1) / FRAMES_PER_SECOND
    poses = []
    for frame in range(num_frames):
        seconds = eased_time(frame / FRAMES_PER_SECOND, duration_sec, easing, values["ease_sec"])
        poses.append(preset.pose_at(values.get("speed", 0.0) * seconds, values))
    return CameraTrajectory(torch.tensor(poses, dtype=torch.float64), rows, values["world_scale"], name)


def parse_settings(text: str) -> dict[str, str]:
    """Options of :func:`make_preset` written as ``key=value,key=value``; none when empty.

    Raises:
        InputError: It is written otherwise.
    """
    values: dict[str, str] = {}
    for setting in filter(None, map(str.strip, text.split(","))):
        key, equals, value = setting.partition("=")
        if not equals:
            need = "key=value,key=value, such as radius=10,ease_sec=2"
            raise InputError("The settings of the camera preset cannot be understood.", got=text, need=need)
        values[key.strip()] = value.strip()
    return values


def scaled_speed(name: str, factor: float) -> dict[str, float]:
    """The option of :func:`make_preset` for a multiple of a preset's own speed; none for a camera at rest.

    Args:
        name: One of ``PRESETS``; of others it is left to :func:`make_preset` to complain.
        factor: 1 for its own speed. Beyond the speeds that are allowed the nearest one is taken.
    """
    parameters = PRESETS[name].parameters if name in PRESETS else ()
    return {
        parameter.name: min(max(parameter.default * factor, parameter.minimum), parameter.maximum)
        for parameter in parameters
        if parameter.name == "speed"
    }


def _read_options(preset: Preset, options: Mapping[str, float | str]) -> tuple[str, dict[str, float]]:
    """Easing and parameter values, defaults filled in."""
    parameters = {parameter.name: parameter for parameter in (*preset.parameters, *COMMON_PARAMETERS)}
    values = {parameter.name: parameter.default for parameter in parameters.values()}
    easing = EASINGS[0]
    for key, value in options.items():
        if key == "easing":
            if value not in EASINGS:
                raise InputError("This easing is unknown.", got=repr(value), need=f"one of {', '.join(EASINGS)}")
            easing = str(value)
        elif key in parameters:
            values[key] = _read_number(parameters[key], value, preset.name)
        else:
            raise InputError(
                f"The camera preset {preset.name} has no option {key!r}.", need=", ".join(["easing", *parameters])
            )
    return easing, values


def _read_number(parameter: Parameter, value: float | str, preset_name: str) -> float:
    """The value as a number within the parameter's range."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not parameter.minimum <= number <= parameter.maximum:  # also when it is NaN
        raise InputError(
            f"The option {parameter.name} of the camera preset {preset_name} cannot be used.",
            got=repr(value),
            need=f"{parameter.minimum:g} to {parameter.maximum:g} {parameter.unit}",
        )
    return number
