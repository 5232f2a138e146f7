# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``generate`` is given, read and checked before any model file is opened."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from lingbot_core.camera.files import load_pose_files, trajectory_from_json, with_intrinsics
from lingbot_core.camera.presets import make_preset, parse_settings
from lingbot_core.camera.trajectory import CameraTrajectory
from lingbot_core.errors import InputError
from lingbot_core.examples import ExampleInputs, example_inputs
from lingbot_core.executor.base import RolloutRequest, TextEvent
from lingbot_core.photo import CropInfo, check_size, load_photo
from lingbot_core.text import read_prompt_file

log = logging.getLogger(__name__)


def read_request(args: argparse.Namespace) -> RolloutRequest:
    """The rollout that the options of ``generate`` ask for.

    Options win over the example's files. A path shorter than ``--total-blocks`` shortens
    the video, with a warning.

    Raises:
        InputError: An input is missing or cannot be used.
        ResourceError: The example cannot be fetched.
    """
    check_size(args.pixel_height, args.pixel_width)
    if args.total_blocks < 1:
        raise InputError("There is nothing to generate.", got=f"--total-blocks {args.total_blocks}", need="at least 1")
    example = example_inputs(args.example_idx) if args.example_data else None
    image = args.image_path or (example.image if example else None)
    if image is None:
        raise InputError("There is no photo to start from.", do="Give one with --image-path, or use --example-data.")
    photo, crop = load_photo(image, args.pixel_height, args.pixel_width, args.fit)
    camera = _read_camera(args, example, crop)
    num_chunks = min(args.total_blocks, camera.num_chunks)
    if num_chunks < args.total_blocks:
        log.warning("The camera path ends after %d of %d chunks; the video ends there.", num_chunks, args.total_blocks)
    return RolloutRequest(photo, camera, _read_text(args, example, num_chunks), num_chunks, args.seed)


def _read_camera(args: argparse.Namespace, example: ExampleInputs | None, crop: CropInfo | None) -> CameraTrajectory:
    """The camera path from a preset, the editor's JSON, pose files, or the example."""
    options = {"--pose-path": args.pose_path, "--camera": args.camera, "--camera-json": args.camera_json}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise InputError("There is more than one camera path.", got=" and ".join(given), need="only one of them")
    if args.pose_path is not None:
        camera = load_pose_files(args.pose_path, args.intrinsic_path)
    elif not given and example is not None:  # its intrinsics serve only its own poses
        camera = load_pose_files(example.poses, args.intrinsic_path or example.intrinsics)
    elif given:
        preset = args.camera is not None
        camera = _read_preset(args.camera, args.total_blocks) if preset else _read_camera_json(args.camera_json)
        if args.intrinsic_path is not None:
            camera = with_intrinsics(camera, args.intrinsic_path)
    else:
        raise InputError("There is no camera path.", do=f"Give one with {', '.join(options)}, or use --example-data.")
    if crop is None or not camera.intrinsics_of_photo:
        return camera
    return replace(camera, intrinsics=crop.adjust_intrinsics(camera.intrinsics))


def _read_preset(text: str, num_chunks: int) -> CameraTrajectory:
    """A preset written as ``NAME`` or ``NAME:key=value,key=value``."""
    name, _, settings = text.partition(":")
    return make_preset(name, num_chunks, **parse_settings(settings))


def _read_camera_json(path: Path) -> CameraTrajectory:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The camera path {path} cannot be read.", got=str(error), do="Correct --camera-json."
        ) from error
    return trajectory_from_json(text)


def _read_text(args: argparse.Namespace, example: ExampleInputs | None, num_chunks: int) -> tuple[TextEvent, ...]:
    """The prompt and its changes, in order of chunks."""
    path = args.prompt_path or (example.prompt if example else None)
    prompt = args.prompt or (read_prompt_file(path) if path is not None else "")
    if not prompt.strip():
        log.warning("The prompt is empty.")
    events = [TextEvent(0, prompt)]
    for chunk_index, text in sorted(parse_event(event) for event in args.event):
        if chunk_index == events[-1].chunk_index:
            raise InputError("Two text events are at the same chunk.", got=f"--event {chunk_index}=... twice")
        if chunk_index >= num_chunks:
            log.warning(
                "The text event at chunk %d is beyond the last chunk, %d; left out.", chunk_index, num_chunks - 1
            )
            continue
        if not text.strip():
            log.warning("The prompt from chunk %d on is empty.", chunk_index)
        events.append(TextEvent(chunk_index, text))
    return tuple(events)


def parse_event(text: str) -> tuple[int, str]:
    """Chunk index and prompt of ``CHUNK=PROMPT``.

    Raises:
        InputError: It is written otherwise, or the chunk is below 1.
    """
    chunk, equals, prompt = text.partition("=")
    if not equals or not chunk.strip().isdigit() or int(chunk) < 1:
        raise InputError(
            "The text event cannot be understood.",
            got=f"--event {text!r}",
            need="CHUNK=PROMPT with CHUNK of at least 1",
            do="The text at chunk 0 is --prompt.",
        )
    return int(chunk), prompt
