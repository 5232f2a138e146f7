# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Inputs and outputs of the nodes in our graphs, in the order that saved graphs rely on.

``tests/comfy`` compares this table with what the host says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lingbot_core.camera.easing import EASINGS

PACK_ID = "comfyui-lingbot-world"
"""The pack's name in the registry, so that a user who lacks the pack is told where it is."""

CORE_ID = "comfy-core"
"""The name under which ComfyUI's own nodes go."""


@dataclass(frozen=True)
class Widget:
    """An input whose value is set in the node."""

    name: str
    """As in the node's schema."""

    type: str
    """Type of the socket it turns into when something is connected."""

    default: Any = None
    """Value of the schema; None when there is none, as for a list of files."""

    after: tuple[Any, ...] = ()
    """Values that the UI format keeps behind this one and the API format does not know."""


@dataclass(frozen=True)
class Schema:
    """What of a node's schema the formats depend on."""

    sockets: tuple[tuple[str, str], ...]
    """Name and type of every input without a value of its own."""

    widgets: tuple[Widget, ...]
    """Inputs with a value, in the order of the schema, which saved graphs rely on."""

    outputs: tuple[tuple[str, str], ...]
    """Name and type of every output."""

    pack: str = PACK_ID
    """Who the node belongs to."""

    width: int = 320
    """Width in pixels in the graph."""

    extra_height: int = 0
    """Pixels for pictures and text fields."""


CAMERA, MODEL, ROLLOUT = ("camera", "CAMERA_TRAJECTORY"), ("model", "LINGBOT_MODEL"), ("rollout", "LINGBOT_ROLLOUT")
VIEWER_SOCKETS = tuple((f"camera_{index}", "LOAD3D_CAMERA") for index in range(1, 9))
EASING = Widget("easing", "COMBO", EASINGS[0])

SCHEMAS: dict[str, Schema] = {
    "LingBotWorldLoader": Schema(
        (),
        (
            Widget("variant", "COMBO", "lingbot-world-fast"),
            *(Widget(name, "COMBO", "auto") for name in ("network", "text_encoder", "vae", "decoder")),
            *(Widget(name, "COMBO", "auto") for name in ("precision", "schedule")),
            Widget("image_mode", "COMBO", "exact"),
            Widget("download", "BOOLEAN", True),
            Widget("checkpoint_root", "STRING", ""),
            Widget("attention", "COMBO", "auto"),
            Widget("num_gpus", "INT", 1),
            Widget("offload", "COMBO", "none"),
        ),
        (MODEL,),
        width=440,
    ),
    "LingBotExample": Schema(
        (), (Widget("index", "INT", 0),), (("image", "IMAGE"), CAMERA, ("prompt", "STRING")), width=440
    ),
    "LingBotCameraTrajectory": Schema(
        (),
        (
            Widget("preset", "COMBO", "walk-forward"),
            Widget("total_blocks", "INT", 21),
            Widget("speed", "FLOAT", 1.0),
            EASING,
            Widget("world_scale", "FLOAT", 0.0),
            Widget("settings", "STRING", ""),
            Widget("keyframes", "STRING", ""),
        ),
        (CAMERA, ("preview", "IMAGE")),
        width=440,
        extra_height=440,
    ),
    "LingBotCameraFromPoses": Schema(
        (), (Widget("poses", "COMBO"), Widget("intrinsics", "COMBO", "default")), (CAMERA,)
    ),
    "LingBotCameraFrom3DViewer": Schema(
        VIEWER_SOCKETS,
        (
            Widget("seconds_between", "FLOAT", 3.0),
            Widget("fov", "FLOAT", 50.0),
            Widget("total_blocks", "INT", 0),
            EASING,
            Widget("world_scale", "FLOAT", 0.0),
        ),
        (CAMERA,),
    ),
    "LingBotCameraPreview": Schema(
        (CAMERA, ("photo", "IMAGE")),
        (Widget("size", "INT", 320), Widget("frames_per_second", "INT", 8)),
        (("images", "IMAGE"), ("views", "IMAGE")),
    ),
    "LingBotTextEncode": Schema(
        (MODEL,), (Widget("prompt", "STRING"),), (("conditioning", "CONDITIONING"),), width=440, extra_height=130
    ),
    "LingBotTextEvents": Schema(
        (("conditioning", "CONDITIONING"), ("event", "CONDITIONING")),
        (Widget("chunk", "INT", 4),),
        (("conditioning", "CONDITIONING"),),
    ),
    "LingBotStreamingSampler": Schema(
        (MODEL, ("image", "IMAGE"), CAMERA, ("conditioning", "CONDITIONING")),
        (
            Widget("seed", "INT", 42, after=("fixed",)),
            Widget("total_blocks", "INT", 21),
            Widget("height", "INT", 464),
            Widget("width", "INT", 832),
            Widget("fit", "COMBO", "stretch"),
        ),
        (ROLLOUT, ("latent", "LATENT")),
        width=400,
        extra_height=240,
    ),
    "LingBotDecoder": Schema((ROLLOUT,), (), (("images", "IMAGE"), ("fps", "FLOAT"))),
    "LingBotSaveRollout": Schema(
        (ROLLOUT,), (Widget("fps", "FLOAT", 16.0),), (("video", "VIDEO"),), width=440, extra_height=290
    ),
    "LoadImage": Schema(
        (),
        (Widget("image", "COMBO", after=("image",)),),
        (("IMAGE", "IMAGE"), ("MASK", "MASK")),
        CORE_ID,
        width=440,
        extra_height=330,
    ),
    "PreviewImage": Schema((("images", "IMAGE"),), (), (), CORE_ID, extra_height=300),
    "CLIPLoader": Schema(
        (),
        (
            Widget("clip_name", "COMBO"),
            Widget("type", "COMBO", "stable_diffusion"),
            Widget("device", "COMBO", "default"),
        ),
        (("CLIP", "CLIP"),),
        CORE_ID,
        width=440,
    ),
    "CLIPTextEncode": Schema(
        (("clip", "CLIP"),),
        (Widget("text", "STRING"),),
        (("CONDITIONING", "CONDITIONING"),),
        CORE_ID,
        width=440,
        extra_height=130,
    ),
    "CreateVideo": Schema(
        (("images", "IMAGE"), ("audio", "AUDIO")), (Widget("fps", "FLOAT", 30.0),), (("VIDEO", "VIDEO"),), CORE_ID
    ),
    "SaveVideo": Schema(
        (("video", "VIDEO"),),
        (Widget("filename_prefix", "STRING"), Widget("format", "COMBO", "auto"), Widget("codec", "COMBO", "auto")),
        (),
        CORE_ID,
        width=440,
        extra_height=290,
    ),
    "CreateCameraInfo": Schema(
        (),
        (
            Widget("mode", "COMFY_DYNAMICCOMBO_V3", "look_at"),
            *(Widget(f"mode.position_{axis}", "FLOAT", 0.0) for axis in "xyz"),
            *(Widget(f"target_{axis}", "FLOAT", 0.0) for axis in "xyz"),
            Widget("roll", "FLOAT", 0.0),
            Widget("fov", "FLOAT", 50.0),
            Widget("zoom", "FLOAT", 1.0),
            Widget("camera_type", "COMBO", "perspective"),
        ),
        (("camera_info", "LOAD3D_CAMERA"),),
        CORE_ID,
    ),
}
"""Every node used in the graphs. ``CreateCameraInfo`` is written for its mode ``look_at``."""
