# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera paths from and to other programs, as contents of files; nothing on disk is opened.

Formats: upstream's ``poses.npy`` and ``intrinsics.npy``, COLMAP's text model, nerfstudio's ``transforms.json``,
cameras of three.js viewers such as ComfyUI's, and our own JSON. What a file is follows from what is in it.
"""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lingbot_core.camera.colmap import looks_like_cameras, looks_like_images, read_colmap, write_colmap
from lingbot_core.camera.files import MAX_FILE_BYTES, MAX_KEYFRAMES, parse_camera_path, trajectory_from_json
from lingbot_core.camera.interpolate import normalized, quaternion_from_rotation
from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT
from lingbot_core.camera.keyframes import Keyframe
from lingbot_core.camera.measured import MeasuredPath, keyframes_json, measured_path_json
from lingbot_core.camera.nerfstudio import looks_like_transforms, read_transforms, write_transforms
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, CameraTrajectory
from lingbot_core.camera.viewer import viewer_path_json
from lingbot_core.errors import InputError

EXPORT_FORMATS = ("json", "npy", "colmap", "nerfstudio", "viewer")
"""What a path can be written as."""

VIEWER_SECONDS_BETWEEN = 3.0
"""Time between a viewer's cameras that tell none."""

VIEWER_FOV_DEG = 50.0
"""Vertical field of view of a viewer's cameras that tell none."""

MAX_ZIP_ENTRIES = 100
"""Files of a zip that are looked at."""

_ZIP_TIME = (2026, 1, 1, 0, 0, 0)
"""Same time in every zip, so that the same path is the same file."""


_NPY_ERRORS = (ValueError, TypeError, OverflowError, EOFError, SyntaxError, RecursionError, tokenize.TokenError)
"""What numpy raises for a damaged header, which it reads as Python source."""


@dataclass(frozen=True)
class ImportedPath:
    """A path that was read from files."""

    text: str
    """Camera-path JSON."""

    format: str
    """One of ``EXPORT_FORMATS``."""

    warnings: tuple[str, ...] = ()
    """What was changed or left out, in words."""


@dataclass
class _Contents:
    """Files sorted by what is in them."""

    paths: list[tuple[str, str, Any]] = field(default_factory=list)
    """Format, file name, contents of everything that holds a path."""

    intrinsics: Tensor | None = None
    """Of an ``intrinsics.npy``."""

    cameras: str | None = None
    """Of a ``cameras.txt``."""


def import_path(
    files: Mapping[str, bytes], frames_per_second: float = FRAMES_PER_SECOND, is_exact: bool = False
) -> ImportedPath:
    """Read a camera path.

    Args:
        files: Contents by file name; a zip stands for what is in it.
        frames_per_second: Poses per second, in formats that do not tell.
        is_exact: Make every pose a keyframe, in place of as few as follow them closely.

    Raises:
        InputError: Names the file, and the place in it.
    """
    if sum(map(len, files.values())) > MAX_FILE_BYTES:
        raise _too_large()
    contents = _Contents()
    for name, data in _unzipped(files).items():
        try:
            _sort_in(PurePath(name).name[-60:], data, contents)
        except InputError as error:
            raise _in_file(name, error) from error
    if len(contents.paths) != 1:
        names = ", ".join(name for _, name, _ in contents.paths) or ", ".join(files) or "no file"
        raise InputError(
            "The files hold more than one camera path." if contents.paths else "The files hold no camera path.",
            got=names[:100],
            need="one of poses.npy, COLMAP's images.txt, nerfstudio's transforms.json, a viewer's cameras, or our JSON",
        )
    ((kind, name, value),) = contents.paths
    try:
        return _read(kind, name, value, contents, frames_per_second, is_exact)
    except InputError as error:
        raise _in_file(name, error) from error


def export_path(trajectory: CameraTrajectory, format: str) -> tuple[str, str, bytes]:
    """Write a camera path made from camera-path JSON.

    Args:
        trajectory: The path; its ``source`` is the JSON.
        format: One of ``EXPORT_FORMATS``.

    Returns:
        File name, media type, contents.

    Raises:
        InputError: The format is unknown.
    """
    if format == "json":
        return "camera_path.json", "application/json", trajectory.source.encode()
    if format == "npy":
        arrays = {"poses.npy": trajectory.c2w, "intrinsics.npy": trajectory.intrinsics}
        return "camera_npy.zip", "application/zip", _zipped({name: _npy(array) for name, array in arrays.items()})
    if format == "colmap":
        texts = write_colmap(trajectory)
        return "camera_colmap.zip", "application/zip", _zipped({name: text.encode() for name, text in texts.items()})
    if format == "nerfstudio":
        return "transforms.json", "application/json", json.dumps(write_transforms(trajectory), indent=1).encode()
    if format == "viewer":
        return "viewer_cameras.json", "application/json", json.dumps(_viewer_cameras(trajectory), indent=1).encode()
    raise InputError(
        "This format for camera paths is unknown.", got=repr(format)[:60], need=f"one of {', '.join(EXPORT_FORMATS)}"
    )


def path_json(trajectory: CameraTrajectory, frames: Sequence[int], name: str = "") -> str:
    """Camera-path JSON with keyframes where a path is at some of its pixel frames.

    Args:
        trajectory: The path. Of its lens the zoom is kept.
        frames: Pixel frames, increasing.
        name: What the path is called.
    """
    lens = trajectory.intrinsics[0].tolist()
    keyframes = []
    for frame in frames:
        pose = trajectory.c2w[frame].tolist()
        x, y, z = (row[3] for row in pose[:3])
        zoom = float(trajectory.intrinsics[frame, 0]) / lens[0]
        keyframes.append(Keyframe(frame / FRAMES_PER_SECOND, (x, y, z), quaternion_from_rotation(pose), zoom))
    return keyframes_json(keyframes, name=name, world_scale=trajectory.world_scale, intrinsics=lens)


# --- reading ----------------------------------------------------------------------------


def _read(
    kind: str, name: str, value: Any, contents: _Contents, frames_per_second: float, is_exact: bool
) -> ImportedPath:
    if kind == "json":
        trajectory_from_json(value, 1)  # checks what the schema cannot: times and quaternions
        return ImportedPath(value, kind)
    if kind == "viewer":
        return ImportedPath(*_read_viewer(value))
    if kind == "npy":
        measured = MeasuredPath(value, contents.intrinsics)
    elif kind == "colmap":
        measured = read_colmap(value, contents.cameras)
    else:
        measured = read_transforms(value)
    text, warnings = measured_path_json(measured, name, frames_per_second, is_exact)
    return ImportedPath(text, kind, tuple(warnings))


def _sort_in(name: str, data: bytes, contents: _Contents) -> None:
    """Find out what a file is."""
    if data.startswith(b"\x93NUMPY"):
        array = _read_npy(data)
        if array.ndim == 3:
            contents.paths.append(("npy", name, array))
        else:
            contents.intrinsics = array
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("This is no camera path.", got=repr(data[:16]), need="one of the formats") from error
    if text.lstrip()[:1] in ("{", "["):
        contents.paths.append(_sort_json(name, text))
    elif looks_like_images(text):
        contents.paths.append(("colmap", name, text))
    elif looks_like_cameras(text):
        contents.cameras = text
    elif text.strip() and not text.lstrip().startswith("#"):  # COLMAP has files of nothing but comments
        raise InputError("This is no camera path.", got=repr(text.strip()[:40]), need="one of the formats")


def _sort_json(name: str, text: str) -> tuple[str, str, Any]:
    if text.lstrip().startswith("{'"):
        parse_camera_path(text)  # says that this is Python, not JSON
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("This is not valid JSON.", got=str(error)[:80]) from error
    if looks_like_transforms(value):
        return "nerfstudio", name, value
    cameras = _find_viewer_cameras(value)
    if cameras:
        return "viewer", name, (cameras, value)
    return "json", name, text  # whatever else it is, its message names the place


def _read_npy(data: bytes) -> Tensor:
    """A numeric array as float64. Pickled objects are refused."""
    try:
        array = np.lib.format.read_array(io.BytesIO(_checked_npy(data)), allow_pickle=False)
    except _NPY_ERRORS as error:
        raise InputError(
            "This .npy file cannot be read.",
            got=str(error).partition("\n")[0][:80],
            need="plain numbers, without pickled objects",
        ) from error
    if array.dtype.kind not in "fiu":
        raise InputError("This .npy file holds no numbers.", got=f"an array of {array.dtype}", need="floats")
    return torch.from_numpy(array.astype(np.float64))


def _checked_npy(data: bytes) -> bytes:
    """The same bytes, unless the header promises more than there is: that could ask for any amount of memory."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():
        raise ValueError(f"{len(data)} bytes for an array of shape {shape}")
    return data


def _find_viewer_cameras(value: Any) -> list[Any]:
    """Cameras of a viewer: one, a list, or under ``cameras``; none when it is something else."""
    if isinstance(value, Mapping) and "format" in value:
        return []
    if isinstance(value, Mapping) and isinstance(value.get("cameras"), list):
        value = value["cameras"]
    cameras = value if isinstance(value, list) else [value]
    cameras = [_flattened(camera) for camera in cameras]
    return cameras if cameras and isinstance(cameras[0], Mapping) and "position" in cameras[0] else []


def _flattened(camera: Any) -> Any:
    """A camera with points as objects; ComfyUI keeps the pose under ``state``, camera-controls writes arrays."""
    if not isinstance(camera, Mapping):
        return camera
    if isinstance(camera.get("state"), Mapping):
        camera = {**camera, **camera["state"]}
    names = {"position": "xyz", "target": "xyz", "quaternion": "xyzw"}
    points = {
        name: dict(zip(axes, camera[name], strict=True))
        for name, axes in names.items()
        if isinstance(camera.get(name), list) and len(camera[name]) == len(axes)
    }
    return {**camera, **points}


def _read_viewer(value: tuple[list[Any], Any]) -> tuple[str, str, tuple[str, ...]]:
    cameras, whole = value
    if len(cameras) > MAX_KEYFRAMES:
        raise InputError("There are too many cameras.", got=f"{len(cameras)}", need=f"at most {MAX_KEYFRAMES}")
    for number, camera in enumerate(cameras, start=1):
        if not isinstance(camera, Mapping):
            raise InputError(f"Camera {number} cannot be used.", got=repr(camera)[:60], need="an object")
        if not isinstance(camera.get("quaternion") or {}, Mapping):
            raise InputError(f"The quaternion of camera {number} cannot be used.", got=repr(camera["quaternion"])[:60])
    warnings = []
    times_sec: list[float] = []
    for index, camera in enumerate(cameras):
        time_sec = camera.get("time_sec", index * VIEWER_SECONDS_BETWEEN)
        if isinstance(time_sec, bool) or not isinstance(time_sec, (int, float)):
            raise InputError(f"The time_sec of camera {index + 1} is not a number.", got=repr(time_sec)[:60])
        times_sec.append(time_sec)
    if len(cameras) > 1 and not any("time_sec" in camera for camera in cameras):
        warnings.append(f"The cameras tell no times; they are {VIEWER_SECONDS_BETWEEN:g} seconds apart.")
    told = whole if isinstance(whole, Mapping) else {}
    text = viewer_path_json(
        cameras,
        times_sec,
        VIEWER_FOV_DEG,
        easing=told.get("easing", "linear"),
        world_scale=told.get("world_scale", DEFAULT_WORLD_SCALE),
    )
    trajectory_from_json(text, 1)
    return text, "viewer", tuple(warnings)


def _unzipped(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files, those of zips in their place. Nothing grows beyond the limit."""
    found: dict[str, bytes] = {}
    left = MAX_FILE_BYTES
    for name, data in files.items():
        if not data.startswith(b"PK\x03\x04"):
            found[name] = data
            continue
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for entry in [entry for entry in archive.infolist() if not entry.is_dir()][:MAX_ZIP_ENTRIES]:
                    with archive.open(entry) as stream:
                        found[entry.filename] = stream.read(left + 1)
                    left -= len(found[entry.filename])
                    if left < 0:
                        raise _too_large()
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"The zip file {name} cannot be read.", got=str(error)[:80]) from error
    return found


def _in_file(name: str, error: InputError) -> InputError:
    """The same complaint with the name of the file."""
    what = error.what if error.what.startswith(PurePath(name).name) else f"{PurePath(name).name[-60:]}: {error.what}"
    return InputError(what, got=error.got, need=error.need, do=error.do)


def _too_large() -> InputError:
    return InputError("The camera files are too large.", need=f"at most {MAX_FILE_BYTES >> 20} MiB in all")


# --- writing ----------------------------------------------------------------------------


def _viewer_cameras(trajectory: CameraTrajectory) -> dict[str, Any]:
    """The keyframes as cameras of a three.js viewer: y up, looking down -z."""
    path = parse_camera_path(trajectory.source)
    fov_deg = math.degrees(2 * math.atan(INTRINSICS_HEIGHT / 2 / path.intrinsics[1]))
    cameras = []
    for keyframe in path.keyframes:
        x, y, z = keyframe.position
        qx, qy, qz, qw = normalized(keyframe.rotation)
        ahead = (2 * (qx * qz + qy * qw), 2 * (qy * qz - qx * qw), 1 - 2 * (qx * qx + qy * qy))  # the camera's z axis
        cameras.append(
            {
                "time_sec": keyframe.time_sec,
                "position": {"x": x, "y": -y, "z": -z},
                "target": {"x": x + ahead[0], "y": -(y + ahead[1]), "z": -(z + ahead[2])},
                "quaternion": {"x": qx, "y": -qy, "z": -qz, "w": qw},
                "fov": fov_deg,
                "zoom": keyframe.zoom,
                "cameraType": "perspective",
            }
        )
    return {"cameras": cameras, "easing": path.easing, "world_scale": path.world_scale}


def _npy(array: Tensor) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array.numpy(), allow_pickle=False)
    return stream.getvalue()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
