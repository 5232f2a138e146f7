# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Graphs of the tests, small enough for a CPU."""

from __future__ import annotations

from typing import Any

from tests.comfy.client import Graph

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


def keyframe_camera(last_x: float) -> dict[str, Any]:
    """A path that ends at ``last_x``; what it is bends the path from 1.5 seconds on, which is chunk 2."""
    places = ((0, 0, 0), (0.75, 0, 2), (1.5, 0, 4), (2.25, 0, 6), (3, last_x, 8))
    keys = ", ".join(f'{{"time_sec": {time}, "position": [{x}, 0, {z}]}}' for time, x, z in places)
    path = f'{{"format": "lingbot-camera-path", "version": 1, "keyframes": [{keys}]}}'
    return node("LingBotCameraTrajectory", preset="keyframes", total_blocks=8, keyframes=path)
