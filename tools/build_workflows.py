# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes ``workflows/*.json`` and their twins ``workflows/api/*.json``: ``python -m tools.build_workflows``.

A file that was edited in the browser is overwritten: change the graph here. A test compares the files with this.
"""

from __future__ import annotations

import json
from pathlib import Path

from lingbot_core.variants import VARIANTS, Variant
from tools.workflow_graph import Graph, Link, Node

FOLDER = Path(__file__).parent.parent / "workflows"
"""Where the graphs are written."""

LIGHT_SLUG = "lingbot-world-fast-taehv-window15-sink3"
"""Variant of the graphs that show a feature: the one that needs the least memory."""

PHOTO = "example.png"
"""A photo that every ComfyUI brings in its input folder."""

PROMPT = (
    "A calm walk through the scene in soft daylight. Leaves move in a light wind, the light shifts gently, "
    "and everything keeps its shape as the camera moves on."
)

KEYFRAMES = """{
  "format": "lingbot-camera-path",
  "version": 1,
  "keyframes": [
    {"time_sec": 0, "position": [0, 0, 0]},
    {"time_sec": 1.5, "position": [0, 0, 5.25]},
    {"time_sec": 3, "position": [0, 0, 10.5]},
    {"time_sec": 4.5, "position": [1.5, 0, 15.5], "rotation": [0, 0.130526, 0, 0.991445]},
    {"time_sec": 6, "position": [4.5, 0, 19.5], "rotation": [0, 0.258819, 0, 0.965926]}
  ]
}"""
"""Straight ahead for three seconds, then a turn to the right."""


def variant_graph(variant: Variant) -> Graph:
    """A registered variant as upstream runs it: example 0, 464x832, 21 chunks, 16 frames per second."""
    graph = Graph(variant.slug)
    window = f"It sees the last {variant.window_frames} latent frames"
    sink = f" and the first {variant.sink_frames}" if variant.sink_frames else ""
    decoder = "the tiny decoder" if variant.decoder == "taehv" else "the full Wan VAE"
    graph.note(
        f"# {variant.title}\n\n"
        "Press **Run**. Upstream's example 0 becomes 249 frames of 464x832: 21 chunks at 16 frames per second. "
        f"{window}{sink}, and frames come from {decoder}.\n\n"
        f"The first run downloads the weights, about {variant.about_bytes / 1e9:.0f} GB. Licence of the network's "
        f"weights: {variant.dit.licence}. Files you already have in ComfyUI's `models` folders are used "
        "instead: choose them in the loader, or leave `auto`.",
        column=0,
        height=220,
    )
    graph.note(
        "# Output\n\n"
        f"`{variant.slug}.mp4` and `stats_{variant.slug}.json`, with milliseconds and memory of every chunk, are in "
        "ComfyUI's output folder.\n\n"
        "**Nothing is computed twice.** Run again with more `total_blocks`: only the new chunks are computed, also "
        "after a restart.",
        column=2,
        height=220,
        width=400,
    )
    model = graph.add("LingBotWorldLoader", 0, variant=variant.slug)
    example = graph.add("LingBotExample", 0, index=0)
    text = graph.add("LingBotTextEncode", 1, model=model["model"], prompt=example["prompt"])
    sampler = _sampler(graph, model, example["image"], example["camera"], text["conditioning"], 21)
    graph.add("LingBotSaveRollout", 3, rollout=sampler["rollout"])
    return graph


def own_photo_graph() -> Graph:
    """The user's photo and prompt, the camera from the list of movements."""
    graph = Graph("own-photo-preset-path")
    graph.note(
        "# Your own photo\n\n"
        "1. Choose a photo in **Load Image**. It is stretched to the size set in the sampler; set `fit` to `crop` to "
        "keep its proportions.\n"
        "2. Say in the prompt what the video shows.\n"
        "3. Choose a movement in `preset`, and press **Run**.",
        column=0,
        height=200,
    )
    graph.note(
        "# The camera\n\n"
        "`speed` multiplies the movement's own pace. `settings` changes what a movement offers, such as `radius=10` "
        "for an orbit. The little map shows the path from above.\n\n"
        "The path may be longer than the video: `total_blocks` of the sampler counts.",
        column=1,
        height=200,
    )
    model, photo = graph.add("LingBotWorldLoader", 0, variant=LIGHT_SLUG), graph.add("LoadImage", 0, image=PHOTO)
    text = graph.add("LingBotTextEncode", 1, model=model["model"], prompt=PROMPT)
    camera = graph.add("LingBotCameraTrajectory", 1, preset="walk-forward", total_blocks=21)
    sampler = _sampler(graph, model, photo["IMAGE"], camera["camera"], text["conditioning"], 10)
    graph.add("LingBotSaveRollout", 3, rollout=sampler["rollout"])
    return graph


def redirect_graph() -> Graph:
    """A path through keyframes, to be made longer and bent."""
    graph = Graph("extend-and-redirect")
    graph.note(
        "# Extend and redirect\n\n"
        "1. **Run**: six chunks, about four seconds.\n"
        "2. Set `total_blocks` of the sampler to 9 and run: only the three new chunks are computed.\n"
        "3. Press **Edit path** in LingBot Camera Trajectory, drag the last keyframe to another place, and run. The "
        "path bends from two keyframes before it, here from 3 seconds: chunks 0 to 3 are kept, and the video is "
        "computed anew from chunk 4 on.\n"
        "4. Press **Undo** in the editor and run: the first video is still there.",
        column=0,
        height=240,
    )
    graph.note(
        "# The path\n\n"
        "**Edit path** opens the editor: move and turn keyframes in space, or drag them to another time below. Chunks "
        "that are computed have a blue background there. A walk covers about 3.5 units a second.\n\n"
        "The editor writes `keyframes`, which can also be written by hand: positions are x right, y **down**, "
        "z forward, rotations are quaternions x, y, z, w. To go left at the end, make the last position "
        "`[-4.5, 0, 19.5]`.",
        column=1,
        height=240,
    )
    model, photo = graph.add("LingBotWorldLoader", 0, variant=LIGHT_SLUG), graph.add("LoadImage", 0, image=PHOTO)
    text = graph.add("LingBotTextEncode", 1, model=model["model"], prompt=PROMPT)
    camera = graph.add("LingBotCameraTrajectory", 1, preset="keyframes", total_blocks=21, keyframes=KEYFRAMES)
    sampler = _sampler(graph, model, photo["IMAGE"], camera["camera"], text["conditioning"], 6)
    preview = graph.add("LingBotCameraPreview", 2, camera=camera["camera"])
    graph.add("LingBotSaveRollout", 3, rollout=sampler["rollout"])
    graph.add("PreviewImage", 3, "Camera path from above", images=preview["images"])
    return graph


def text_events_graph() -> Graph:
    """Prompts that change while the video goes on."""
    graph = Graph("text-events")
    graph.note(
        "# Text events\n\n"
        "The prompt changes while the video goes on: each **LingBot Text Events** says from which chunk on the prompt "
        "below it is in force. A chunk is 3/4 of a second.\n\n"
        "Changing a later prompt leaves the chunks before it as they are: they are not computed again.",
        column=0,
        height=200,
    )
    model, photo = graph.add("LingBotWorldLoader", 0, variant=LIGHT_SLUG), graph.add("LoadImage", 0, image=PHOTO)
    camera = graph.add("LingBotCameraTrajectory", 0, preset="dolly-in", total_blocks=21, speed=0.5)
    prompts = {
        "At the start": PROMPT,
        "From chunk 4": "Thick fog rolls in and hides the distance; the light turns grey.",
        "From chunk 8": "The fog lifts and a warm evening sun breaks through; long shadows fall across the scene.",
    }
    start, fog, sun = (
        graph.add("LingBotTextEncode", 1, title, model=model["model"], prompt=prompt)
        for title, prompt in prompts.items()
    )
    first = graph.add("LingBotTextEvents", 2, conditioning=start["conditioning"], event=fog["conditioning"], chunk=4)
    second = graph.add("LingBotTextEvents", 2, conditioning=first["conditioning"], event=sun["conditioning"], chunk=8)
    sampler = _sampler(graph, model, photo["IMAGE"], camera["camera"], second["conditioning"], 12)
    graph.add("LingBotSaveRollout", 3, rollout=sampler["rollout"])
    return graph


def core_nodes_graph() -> Graph:
    """ComfyUI's own text encoder and video nodes around our sampler."""
    graph = Graph("core-nodes")
    graph.note(
        "# With ComfyUI's own nodes\n\n"
        "If you use Wan, you have its text encoder: **Load CLIP** (type `wan`) and **CLIP Text Encode** take the place "
        "of LingBot Text Encode. With a file in fp8 the picture differs slightly.\n\n"
        "**LingBot Decoder** gives ordinary images, for **Create Video** and any node for images. They are all in "
        "memory at once; LingBot Save Rollout writes long videos piece by piece.\n\n"
        "The sampler's `latent` output fits **VAE Decode** with a Wan 2.1 VAE.",
        column=0,
        height=290,
    )
    clip = graph.add("CLIPLoader", 0, clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")
    model, photo = graph.add("LingBotWorldLoader", 0, variant=LIGHT_SLUG), graph.add("LoadImage", 0, image=PHOTO)
    text = graph.add("CLIPTextEncode", 1, clip=clip["CLIP"], text=PROMPT)
    camera = graph.add("LingBotCameraTrajectory", 1, preset="orbit-right", total_blocks=21)
    sampler = _sampler(graph, model, photo["IMAGE"], camera["camera"], text["CONDITIONING"], 6)
    decoder = graph.add("LingBotDecoder", 3, rollout=sampler["rollout"])
    video = graph.add("CreateVideo", 3, images=decoder["images"], fps=decoder["fps"])
    graph.add("SaveVideo", 3, video=video["VIDEO"], filename_prefix="video/lingbot-world")
    return graph


def viewer_camera_graph() -> Graph:
    """Cameras of ComfyUI's 3D nodes, joined to a path."""
    graph = Graph("camera-from-3d")
    graph.note(
        "# Cameras from 3D nodes\n\n"
        "Up to eight cameras become one smooth path. Each **Create Camera Info** is one view; the axes are the "
        "viewer's, y **up**, and the camera looks at its target.\n\n"
        "The `camera_info` output of **Load 3D** fits the same inputs: load a model, turn the view to where the camera "
        "should be, one Load 3D for each view.\n\n"
        "Needs a ComfyUI that has Create Camera Info, such as 0.26.",
        column=0,
        height=260,
    )
    model, photo = graph.add("LingBotWorldLoader", 0, variant=LIGHT_SLUG), graph.add("LoadImage", 0, image=PHOTO)
    views = {"Start": (0.0, 0.0, 0.0), "Closer": (0.0, 0.5, -8.0), "To the side": (4.0, 0.5, -12.0)}
    cameras = [
        graph.add(
            "CreateCameraInfo",
            1,
            title,
            mode__position_x=x,
            mode__position_y=y,
            mode__position_z=z,
            target_z=-24.0,
        )
        for title, (x, y, z) in views.items()
    ]
    text = graph.add("LingBotTextEncode", 2, model=model["model"], prompt=PROMPT)
    sockets = {f"camera_{index + 1}": camera["camera_info"] for index, camera in enumerate(cameras)}
    path = graph.add("LingBotCameraFrom3DViewer", 2, "", seconds_between=3.0, total_blocks=10, **sockets)
    sampler = _sampler(graph, model, photo["IMAGE"], path["camera"], text["conditioning"], 8, column=3)
    graph.add("LingBotSaveRollout", 4, rollout=sampler["rollout"])
    return graph


def _sampler(
    graph: Graph, model: Node, image: Link, camera: Link, text: Link, total_blocks: int, column: int = 2
) -> Node:
    """The sampler with its four connections."""
    return graph.add(
        "LingBotStreamingSampler",
        column,
        model=model["model"],
        image=image,
        camera=camera,
        conditioning=text,
        total_blocks=total_blocks,
    )


def all_graphs() -> list[Graph]:
    """Every graph of the pack: one for each registered variant, one for each feature."""
    return [
        *(variant_graph(variant) for variant in VARIANTS.values()),
        own_photo_graph(),
        redirect_graph(),
        text_events_graph(),
        core_nodes_graph(),
        viewer_camera_graph(),
    ]


def as_text(graph: dict[str, object]) -> str:
    """A graph as it is written to a file."""
    return json.dumps(graph, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    (FOLDER / "api").mkdir(parents=True, exist_ok=True)
    for graph in all_graphs():
        (FOLDER / f"{graph.name}.json").write_text(as_text(graph.ui()), encoding="utf-8")
        (FOLDER / "api" / f"{graph.name}.json").write_text(as_text(graph.api()), encoding="utf-8")


if __name__ == "__main__":
    main()
