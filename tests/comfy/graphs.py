# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Graphs of the tests, small enough for a CPU."""

from __future__ import annotations

from typing import Any

from tests.comfy.client import Client, Graph
from tests.comfy.comfy_host import ComfyBase

HEIGHT, WIDTH = 64, 96
"""Size of the tests' videos in pixels."""

SLUG = "lingbot-world-fast-taehv-window15-sink3"
"""Variant that most tests run."""

MODEL, PHOTO, TEXT, CAMERA, SAMPLER, SAVE = "1", "2", "3", "4", "5", "6"
"""Ids of the nodes of :func:`video_graph`."""


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node in API format; a pair of id and slot is a connection."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in inputs.items()}
    return {"class_type": class_type, "inputs": values}


def video_graph(
    checkpoint: str,
    seed: int,
    total_blocks: int,
    *,
    slug: str = SLUG,
    camera: dict[str, Any] | None = None,
    **sampler: Any,
) -> Graph:
    """Photo and preset path to a video file.

    Args:
        checkpoint: Value of ``checkpoint_root``.
        seed: Of the noise.
        total_blocks: Chunks of the video.
        slug: The variant.
        camera: Another camera node.
        sampler: More inputs of the sampler.
    """
    return {
        MODEL: node("LingBotWorldLoader", variant=slug, checkpoint_root=checkpoint),
        PHOTO: node("LoadImage", image="example.png"),
        TEXT: node("LingBotTextEncode", model=(MODEL, 0), prompt="A quiet lake."),
        CAMERA: camera or node("LingBotCameraTrajectory", preset="walk-forward", total_blocks=8),
        SAMPLER: node(
            "LingBotStreamingSampler",
            **{
                "model": (MODEL, 0),
                "image": (PHOTO, 0),
                "camera": (CAMERA, 0),
                "conditioning": (TEXT, 0),
                "seed": seed,
                "total_blocks": total_blocks,
                "height": HEIGHT,
                "width": WIDTH,
                **sampler,
            },
        ),
        SAVE: node("LingBotSaveRollout", rollout=(SAMPLER, 0)),
    }


def keyframe_camera(last_x: float, bend_chunk: int = 2, total_blocks: int = 8) -> dict[str, Any]:
    """A path that ends at ``last_x``; what it is bends the path within ``bend_chunk`` and changes nothing before it."""
    # a bend begins two keyframes before the one that is moved
    places = [(0.75 * index, 0.0, 2.0 * index) for index in range(bend_chunk + 2)]
    places.append((0.75 * len(places), last_x, 2.0 * len(places)))
    keys = ", ".join(f'{{"time_sec": {time}, "position": [{x}, 0, {z}]}}' for time, x, z in places)
    path = f'{{"format": "lingbot-camera-path", "version": 1, "keyframes": [{keys}]}}'
    return node("LingBotCameraTrajectory", preset="keyframes", total_blocks=total_blocks, keyframes=path)


def load_3d(base: ComfyBase, position: tuple[float, float, float], **camera: Any) -> dict[str, Any]:
    """Core's Load 3D with a camera that looks at the middle of the scene.

    Args:
        base: Gets the file that it shows.
        position: Of the camera.
        camera: More of the camera, as three.js describes it.
    """
    models = base.input / "3d"
    models.mkdir(exist_ok=True)
    (models / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", encoding="utf-8")
    info = {
        "position": dict(zip("xyz", position, strict=True)),
        "target": {"x": 0.0, "y": 0.0, "z": 0.0},
        "zoom": 1,
        "cameraType": "perspective",
        **camera,
    }
    files = dict.fromkeys(("image", "mask", "normal", "lineart"), "example.png")
    state = {**files, "recording": "", "camera_info": info}
    return node("Load3D", model_file="3d/empty.obj", image=state, width=64, height=64)


def camera_slot(client: Client) -> int:
    """Output of Load 3D that is its camera; hosts differ."""
    return client.get("/object_info/Load3D")["Load3D"]["output"].index("LOAD3D_CAMERA")
