# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that make camera paths."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from lingbot_core.camera.easing import EASINGS
from lingbot_core.camera.intrinsics import INTRINSICS_HEIGHT, INTRINSICS_WIDTH
from lingbot_core.camera.poses import DEFAULT_WORLD_SCALE
from lingbot_core.camera.presets import PRESETS, make_preset, parse_settings, scaled_speed
from lingbot_core.camera.trajectory import FRAMES_PER_SECOND, CameraTrajectory
from lingbot_core.errors import InputError

from . import host
from .messages import plain_errors
from .tokens import check_token
from .types import CATEGORY, CameraSocket, ViewerCameraSocket

KEYFRAMES = "keyframes"
"""Choice of the camera node that follows the keyframes in place of a preset."""

DEFAULT_INTRINSICS_CHOICE = "default"
"""Choice of the pose node for no intrinsics file."""

NUM_VIEWER_CAMERAS = 8
OVERVIEW_SIZE = 320


def _easing_input() -> Any:
    return io.Combo.Input(
        "easing",
        options=list(EASINGS),
        default=EASINGS[0],
        optional=True,
        tooltip="Whether the camera starts from rest and ends at rest. Easing out moves with the end of the path: a "
        "longer path then is another one near its old end.",
    )


def _world_scale_input() -> Any:
    return io.Float.Input(
        "world_scale",
        default=0.0,
        min=0.0,
        max=1e6,
        step=0.001,
        optional=True,
        tooltip="Length that the model sees as 1: larger makes the same path a smaller movement. "
        f"0: the usual {DEFAULT_WORLD_SCALE:.3f}, or what the keyframes say.",
    )


class LingBotCameraTrajectory(io.ComfyNode):
    """A camera path from a preset or from keyframes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotCameraTrajectory",
            display_name="LingBot Camera Trajectory",
            category=f"{CATEGORY}/camera",
            description="A camera path from a preset movement, or through keyframes. A longer path begins with the "
            "shorter one, so that a video can be lengthened without computing its beginning again.",
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=[*PRESETS, KEYFRAMES],
                    default="walk-forward",
                    tooltip="The movement; keyframes: the path in the field of that name.",
                ),
                io.Int.Input(
                    "total_blocks",
                    default=21,
                    min=1,
                    max=1000,
                    tooltip="Length in chunks: 9 frames, then 12 each, at 16 per second (21: 15.5 seconds).",
                ),
                io.Float.Input(
                    "speed",
                    default=1.0,
                    min=0.05,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    tooltip="How fast, as a multiple of the preset's own speed. No effect on keyframes.",
                ),
                _easing_input(),
                _world_scale_input(),
                io.String.Input(
                    "settings",
                    default="",
                    optional=True,
                    tooltip="More settings of the preset, such as radius=10 for an orbit; several separated by commas. "
                    "The help page lists them.",
                ),
                io.String.Input(
                    "keyframes",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip='Camera-path JSON, used when the preset is "keyframes". The help page shows an example.',
                ),
            ],
            outputs=[
                CameraSocket.Output("camera", display_name="camera", tooltip="The camera path."),
                io.Image.Output("preview", display_name="preview", tooltip="The path seen from above."),
            ],
        )

    @classmethod
    @plain_errors
    def execute(
        cls,
        preset: str,
        total_blocks: int,
        speed: float = 1.0,
        easing: str = EASINGS[0],
        world_scale: float = 0.0,
        settings: str = "",
        keyframes: str = "",
    ) -> io.NodeOutput:
        if preset == KEYFRAMES:
            camera = _from_keyframes(keyframes, total_blocks, easing, world_scale)
        else:
            options: dict[str, float | str] = {"easing": easing, **scaled_speed(preset, speed)}
            if world_scale:
                options["world_scale"] = world_scale
            camera = make_preset(preset, total_blocks, **{**options, **parse_settings(settings)})
        preview = _overview(camera)
        return io.NodeOutput(camera, preview, ui=ui.PreviewImage(preview, cls=cls))


def _from_keyframes(text: str, num_chunks: int, easing: str, world_scale: float) -> CameraTrajectory:
    from .editor_server import keyframe_camera

    if not text.strip():
        raise InputError(
            "There are no keyframes.",
            do='Fill in the field "keyframes", or choose a preset. The help page of the node shows an example.',
        )
    return keyframe_camera(text, num_chunks, easing, world_scale)


def _overview(camera: CameraTrajectory) -> Tensor:
    """The path from above, as IMAGE ``[1, H, W, 3]``."""
    from lingbot_core.camera.overview import Overview

    return torch.tensor(Overview(camera, OVERVIEW_SIZE).draw())[None] / 255


class LingBotCameraFromPoses(io.ComfyNode):
    """A camera path measured elsewhere."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = host.input_arrays()
        return io.Schema(
            node_id="LingBotCameraFromPoses",
            display_name="LingBot Camera From Poses",
            category=f"{CATEGORY}/camera",
            description="A camera path from .npy files in the input folder, as LingBot-World's examples have them: "
            "camera-to-world matrices [N, 4, 4], 16 per second, x right, y down, z forward.",
            inputs=[
                io.Combo.Input(
                    "poses",
                    options=files,
                    tooltip="Poses, [N, 4, 4], at least 9. Copy the file into ComfyUI's input folder and press R.",
                ),
                io.Combo.Input(
                    "intrinsics",
                    options=[DEFAULT_INTRINSICS_CHOICE, *files],
                    default=DEFAULT_INTRINSICS_CHOICE,
                    optional=True,
                    tooltip="Lens: fx, fy, cx, cy in pixels of the photo stretched to 832x480; [4], [1, 4] or [N, 4].",
                ),
            ],
            outputs=[CameraSocket.Output("camera", display_name="camera", tooltip="The camera path.")],
        )

    @classmethod
    def fingerprint_inputs(cls, poses: str, intrinsics: str = DEFAULT_INTRINSICS_CHOICE) -> str:
        digest = hashlib.sha256()
        for name in sorted({poses, intrinsics} & set(host.input_arrays())):
            digest.update(name.encode() + host.input_file(name).read_bytes())
        return digest.hexdigest()

    @classmethod
    @plain_errors
    def execute(cls, poses: str, intrinsics: str = DEFAULT_INTRINSICS_CHOICE) -> io.NodeOutput:
        from lingbot_core.camera.files import load_pose_files

        lens = None if intrinsics == DEFAULT_INTRINSICS_CHOICE else host.input_file(intrinsics)
        return io.NodeOutput(load_pose_files(host.input_file(poses), lens))


class LingBotCameraFrom3DViewer(io.ComfyNode):
    """A camera path through views chosen in ComfyUI's 3D viewer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotCameraFrom3DViewer",
            display_name="LingBot Camera From 3D Viewer",
            category=f"{CATEGORY}/camera",
            description="A smooth camera path through up to eight cameras of the core nodes Load 3D or Create Camera "
            "Info.",
            inputs=[
                io.Float.Input(
                    "seconds_between",
                    default=3.0,
                    min=0.1,
                    max=60.0,
                    step=0.25,
                    tooltip="Time from one camera to the next.",
                ),
                io.Float.Input(
                    "fov",
                    default=50.0,
                    min=1.0,
                    max=170.0,
                    step=1.0,
                    tooltip="Vertical field of view in degrees of cameras that do not tell theirs.",
                ),
                io.Int.Input(
                    "total_blocks",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Length in chunks; the camera rests after the last view. 0: until the last view.",
                ),
                _easing_input(),
                _world_scale_input(),
                *(
                    ViewerCameraSocket.Input(f"camera_{number}", optional=True, tooltip=f"View {number}.")
                    for number in range(1, NUM_VIEWER_CAMERAS + 1)
                ),
            ],
            outputs=[CameraSocket.Output("camera", display_name="camera", tooltip="The camera path.")],
        )

    @classmethod
    @plain_errors
    def execute(
        cls,
        seconds_between: float,
        fov: float,
        total_blocks: int,
        easing: str = EASINGS[0],
        world_scale: float = 0.0,
        **cameras: Any,
    ) -> io.NodeOutput:
        from lingbot_core.camera.viewer import viewer_trajectory

        sockets = [f"camera_{number}" for number in range(1, NUM_VIEWER_CAMERAS + 1)]
        views = {socket: cameras[socket] for socket in sockets if cameras.get(socket) is not None}
        camera = viewer_trajectory(
            list(views.values()),
            names=[f"the camera at {socket}" for socket in views],
            seconds_between=seconds_between,
            default_fov_deg=fov,
            num_chunks=total_blocks or None,
            easing=easing,
            world_scale=world_scale or DEFAULT_WORLD_SCALE,
        )
        return io.NodeOutput(camera)


class LingBotCameraPreview(io.ComfyNode):
    """A camera path as a small film."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotCameraPreview",
            display_name="LingBot Camera Preview",
            category=f"{CATEGORY}/camera",
            description="Shows a camera path from above, one picture after the other, and what its cameras see of a "
            "photo when they turn. Nothing is generated.",
            inputs=[
                CameraSocket.Input("camera", tooltip="Any camera path."),
                io.Int.Input(
                    "size", default=320, min=128, max=1024, step=16, optional=True, tooltip="Side of the pictures."
                ),
                io.Int.Input(
                    "frames_per_second",
                    default=8,
                    min=1,
                    max=FRAMES_PER_SECOND,
                    optional=True,
                    tooltip="Pictures per second of camera time.",
                ),
                io.Image.Input(
                    "photo",
                    optional=True,
                    tooltip="The photo of the video. Of several the first, without transparency.",
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The path from above, in order."),
                io.Image.Output(
                    "views",
                    display_name="views",
                    tooltip="The photo as each camera sees it when only its turns and its lens count: exact for a "
                    "camera that turns on the spot, black beyond the photo. Without a photo the same as images.",
                ),
            ],
        )

    @classmethod
    @plain_errors
    def execute(
        cls,
        camera: CameraTrajectory,
        size: int = OVERVIEW_SIZE,
        frames_per_second: int = 8,
        photo: Tensor | None = None,
    ) -> io.NodeOutput:
        from lingbot_core.camera.overview import Overview
        from lingbot_core.camera.warp import rotation_preview

        check_token(camera, CameraTrajectory, "camera", "one of the LingBot Camera nodes")
        overview = Overview(camera, size)
        num_pictures = (camera.num_frames - 1) * frames_per_second // FRAMES_PER_SECOND + 1
        images = torch.empty(num_pictures, size, size, 3)
        frames = torch.arange(num_pictures) * FRAMES_PER_SECOND // frames_per_second
        for index, frame in enumerate(frames.tolist()):
            torch.div(torch.tensor(overview.draw(frame)), 255, out=images[index])
        if photo is None:
            return io.NodeOutput(images, images)
        width = round(size * INTRINSICS_WIDTH / INTRINSICS_HEIGHT / 2) * 2  # even, for video files
        return io.NodeOutput(images, rotation_preview(_colours(photo), camera, frames, size, width))


def _colours(image: Tensor) -> Tensor:
    """The first picture of an IMAGE ``[B, H, W, C]`` as ``[H, W, 3]``; grey stays grey."""
    if image.ndim != 4 or not image.numel():
        raise InputError("The photo is not a picture.", got=f"a tensor of shape {list(image.shape)}", need="IMAGE")
    first = image[0] if image.shape[-1] in (3, 4) else image[0, ..., :1].expand(-1, -1, 3)
    return first[..., :3]
