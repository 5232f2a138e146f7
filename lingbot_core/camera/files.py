# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths from files: upstream's pose files, and the path editor's JSON.

Pose files (``poses.npy``, ``intrinsics.npy``) are resampled to whole chunks as upstream does, once, on
the whole file. The JSON is versioned; ``camera_path_schema`` is its JSON Schema, published as
``assets/camera_path.schema.json``.
"""

from __future__ import annotations

import tokenize
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from lingbot_core.camera.interpolate import Quaternion
from lingbot_core.camera.intrinsics import DEFAULT_INTRINSICS, check_intrinsics, default_intrinsics
from lingbot_core.camera.keyframes import Keyframe, keyframe_trajectory
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE, check_poses, measure_world_scale, resample_poses
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, MAX_FRAMES, CameraTrajectory
from lingbot_core.errors import InputError
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, TEMPORAL_STRIDE, num_pixel_frames, num_whole_chunks

MAX_FILE_BYTES = 64 * 2**20
"""Camera files above this size are refused unread."""

MAX_KEYFRAMES = 10_000
"""Most keyframes that a path may have."""

JSON_VERSION = 1
"""Version of the camera-path JSON that is written, and the newest that is read."""

QUATERNION_TOLERANCE = 1e-2
"""How far the length of a quaternion in the JSON may be from 1."""

Coordinate = Annotated[float, Field(ge=-1e9, le=1e9)]
Component = Annotated[float, Field(ge=-1.1, le=1.1)]
FocalLength = Annotated[float, Field(gt=0, le=1e6)]
Centre = Annotated[float, Field(ge=-1e6, le=1e6)]


class _Strict(BaseModel):
    """No silent conversion, no unknown fields, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class KeyframeJson(_Strict):
    """Where the camera is at one moment."""

    time_sec: float = Field(
        ge=0,
        le=MAX_FRAMES // FRAMES_PER_SECOND - 1,
        description="Seconds since the start; each keyframe later than the one before.",
    )
    position: tuple[Coordinate, Coordinate, Coordinate] = Field(
        description="Place of the camera: x right, y down, z forward (OpenCV axes)."
    )
    rotation: tuple[Component, Component, Component, Component] = Field(
        default=(0.0, 0.0, 0.0, 1.0), description="Camera-to-world unit quaternion x, y, z, w (OpenCV axes)."
    )
    zoom: float = Field(default=1.0, ge=0.01, le=100, description="Multiplies the focal lengths.")


class CameraPathJson(_Strict):
    """A camera path through keyframes, version 1."""

    model_config = ConfigDict(title="LingBot-World camera path")

    format: Literal["lingbot-camera-path"] = Field(description="Says what this JSON is.")
    version: Literal[1] = Field(description="Version of the format.")
    name: str = Field(default="", max_length=200, description="What the path is called.")
    easing: Literal["linear", "ease-in", "ease-out", "ease-in-out"] = Field(
        default="linear", description="Whether the camera starts from rest and ends at rest."
    )
    world_scale: float = Field(
        default=DEFAULT_WORLD_SCALE, ge=1e-6, le=1e6, description="Length that the network sees as 1."
    )
    intrinsics: tuple[FocalLength, FocalLength, Centre, Centre] = Field(
        default=DEFAULT_INTRINSICS, description="fx, fy, cx, cy at zoom 1, in pixels of an 832 wide, 480 high frame."
    )
    keyframes: list[KeyframeJson] = Field(
        min_length=1, max_length=MAX_KEYFRAMES, description="At least one, in order of time."
    )


def camera_path_schema() -> dict[str, Any]:
    """JSON Schema of the camera-path JSON."""
    return CameraPathJson.model_json_schema()


def trajectory_from_json(text: str, num_chunks: int | None = None) -> CameraTrajectory:
    """Sample the path that the editor's JSON describes.

    Args:
        text: Camera-path JSON, see :class:`CameraPathJson`.
        num_chunks: Length of the path; the camera rests after the last keyframe. None is as many chunks
            as it takes to reach it.

    Raises:
        InputError: Names the place in the JSON, such as ``keyframes[3].rotation``.
    """
    path = parse_camera_path(text)
    keyframes = [
        Keyframe(keyframe.time_sec, keyframe.position, _unit_quaternion(keyframe, index), keyframe.zoom)
        for index, keyframe in enumerate(path.keyframes)
    ]
    return keyframe_trajectory(
        keyframes,
        num_chunks,
        easing=path.easing,
        intrinsics=path.intrinsics,
        world_scale=path.world_scale,
        name=path.name,
        source=text,
    )


def parse_camera_path(text: str) -> CameraPathJson:
    """Check camera-path JSON against its schema.

    Raises:
        InputError: Names the first place that is wrong.
    """
    if len(text) > MAX_FILE_BYTES:
        raise InputError(
            "The camera path is too large.", got=f"{len(text)} characters", need=f"at most {MAX_FILE_BYTES}"
        )
    if text.lstrip().startswith("{'"):
        raise InputError(
            "The camera path is not JSON but a printed Python dictionary.",
            got=_shortened(text),
            do="Send the path as a JSON string, not as an object.",
        )
    try:
        return CameraPathJson.model_validate_json(text)
    except ValidationError as error:
        raise _json_error(error) from error


def _json_error(error: ValidationError) -> InputError:
    """The first complaint about the JSON as one of ours."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return InputError("The camera path is not valid JSON.", got=first["msg"], need="camera-path JSON")
    place = ""
    for part in first["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    newer = place == "version" and isinstance(first["input"], int) and first["input"] > JSON_VERSION
    got = "nothing" if first["type"] == "missing" else _shortened(repr(first["input"]))
    return InputError(
        f"{place or 'The camera path'}: {first['msg']}.",
        got=got,
        do="The path was made by a newer version; update this one." if newer else "Correct the camera-path JSON.",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unit_quaternion(keyframe: KeyframeJson, index: int) -> Quaternion:
    """The keyframe's rotation, when it is a unit quaternion up to rounding."""
    length = sum(component**2 for component in keyframe.rotation) ** 0.5
    if abs(length - 1.0) > QUATERNION_TOLERANCE:
        raise InputError(
            f"keyframes[{index}].rotation: this is not a unit quaternion.",
            got=f"length {length:g}",
            need="x, y, z, w of length 1",
        )
    return keyframe.rotation


def load_pose_files(poses_path: Path | str, intrinsics_path: Path | str | None = None) -> CameraTrajectory:
    """Read a camera path from upstream's ``.npy`` files.

    Args:
        poses_path: Camera-to-world matrices, ``[N, 4, 4]``, OpenCV axes, 16 per second.
        intrinsics_path: (fx, fy, cx, cy) in pixels of a 480x832 frame, ``[4]``, ``[1, 4]`` or ``[N, 4]``;
            the default ones when None.

    Raises:
        InputError: A file cannot be read or used.
    """
    intrinsics = None if intrinsics_path is None else _read_npy(Path(intrinsics_path))
    return trajectory_from_poses(_read_npy(Path(poses_path)), intrinsics, name=str(poses_path))


def trajectory_from_poses(c2w: Tensor, intrinsics: Tensor | None = None, name: str = "") -> CameraTrajectory:
    """Resample measured poses to whole chunks.

    Upstream's rule: of all that is there, the latent frames are rounded down to whole chunks and spread
    over the whole path, and the longest step becomes the world scale. Intrinsics are not
    resampled: pixel frame ``f`` uses row ``f``.

    Args:
        c2w: ``[N, 4, 4]``, float64, 16 per second.
        intrinsics: ``[4]``, ``[1, 4]`` or ``[N, 4]``, float64; the default ones when None.
        name: What the path is called in messages.

    Raises:
        InputError: The poses or intrinsics cannot be used, or do not suffice for one chunk.
    """
    check_poses(c2w)
    num_poses = len(c2w)
    rows = default_intrinsics(num_poses) if intrinsics is None else check_intrinsics(intrinsics, num_poses)
    num_chunks = num_whole_chunks(num_poses)
    if not num_chunks:
        first_chunk_frames = num_pixel_frames(1)
        raise InputError(
            "The camera path is too short for one chunk.",
            got=f"{num_poses} poses",
            need=f"at least {first_chunk_frames}, one per frame",
            do=f"Add {first_chunk_frames - num_poses} poses.",
        )
    num_steps = (num_poses - 1) // TEMPORAL_STRIDE
    used = c2w[: num_steps * TEMPORAL_STRIDE + 1]
    latent_c2w = resample_poses(used, num_chunks * CHUNK_LATENT_FRAMES)
    frames = torch.arange(num_pixel_frames(num_chunks))
    latent_of_frame = (frames + TEMPORAL_STRIDE - 1) // TEMPORAL_STRIDE  # 0, then four of each
    world_scale = measure_world_scale(latent_c2w)
    poses, rows = latent_c2w[latent_of_frame], rows[: len(frames)]
    return CameraTrajectory(poses, rows, world_scale, name, intrinsics_of_photo=intrinsics is not None)


def with_intrinsics(camera: CameraTrajectory, intrinsics_path: Path) -> CameraTrajectory:
    """A path of any kind, seen through the lens that a file of intrinsics describes; zooms of its own are dropped.

    Raises:
        InputError: The file cannot be read, or does not fit the path.
    """
    rows = check_intrinsics(_read_npy(intrinsics_path), camera.num_frames)
    return replace(camera, intrinsics=rows, intrinsics_of_photo=True, source="")


def _read_npy(path: Path) -> Tensor:
    """A numeric array as float64. Pickled objects are refused."""
    try:
        num_bytes = path.stat().st_size
        # Mapped: refuses pickled objects, and a header that promises more than the file holds cannot ask for memory.
        array = np.lib.format.open_memmap(path, mode="r") if num_bytes <= MAX_FILE_BYTES else None
    except FileNotFoundError as error:
        raise InputError(f"The camera file {path} does not exist.", do="Correct the path.") from error
    except (OSError, ValueError, OverflowError, SyntaxError, tokenize.TokenError) as error:  # numpy parses headers
        raise InputError(
            f"The camera file {path} cannot be read.",
            got=str(error).partition("\n")[0],
            need="a .npy file of plain numbers, without pickled objects",
            do="Save it with numpy.save from an array of floats.",
        ) from error
    if array is None:
        raise InputError(
            f"The camera file {path} is too large.", got=f"{num_bytes} bytes", need=f"at most {MAX_FILE_BYTES}"
        )
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"The camera file {path} holds no numbers.", got=f"an array of {array.dtype}", need="a .npy file of floats"
        )
    return torch.from_numpy(np.array(array, dtype=np.float64))
