# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The process whose first frame is timed; see :mod:`lingbot_core.bench.first_frame`, which starts it.

Takes its setup as JSON and the time at which it was started; prints its times as one line of JSON.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace

import torch

from lingbot_core.bench.first_frame import FirstFrame, Setup
from lingbot_core.camera.presets import make_preset
from lingbot_core.executor.base import RolloutRequest, TextEvent
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.loader import LoadedModel, random_model
from lingbot_core.options import ModelOptions
from lingbot_core.variants import get_variant

PROMPT = (
    "A quiet street at dawn with soft light on the wet stones. The camera moves slowly forward along the road between "
    "old houses; clouds drift over the roofs, and birds fly above the trees at its end."
)

NUM_CHUNKS = 8
"""Chunks asked for; the clock stops at the first."""


def measure_here(setup: Setup, began: float) -> FirstFrame:
    """What the process does.

    Args:
        setup: What to run.
        began: When the process was started, seconds since the epoch.
    """
    size = setup.height, setup.width
    options = ModelOptions(
        precision=setup.precision,  # pyright: ignore[reportArgumentType] - checked when the options are resolved
        attention=setup.attention,
        device=setup.device,
        window_frames=setup.window,
        sink_frames=setup.sink,
        frame_size=size,
    )
    model = random_model(get_variant(setup.slug), options, size=setup.size, text_size=setup.text_size)
    model = _with_encoders_in_memory(model)
    generator = torch.Generator().manual_seed(0)
    photo = torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=generator)
    camera = make_preset("walk-forward", NUM_CHUNKS)
    gc.collect()
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)

    start_sec = time.perf_counter()
    executor = LocalExecutor(model)
    executor.encode_texts([PROMPT])  # kept for the request below, which asks for it as well
    text_sec = time.perf_counter() - start_sec
    request = RolloutRequest(photo, camera, (TextEvent(0, PROMPT),), NUM_CHUNKS)
    with closing(executor.stream(request)) as stream:
        first = next(stream)
        first_frame_sec = time.perf_counter() - start_sec
        process_sec = time.time() - began
    assert first.index == 0 and first.frames.shape[1:3] == size, (first.index, first.frames.shape)
    stats = first.stats
    stages = {name: getattr(stats, f"{name}_ms") for name in ("encode", "diffuse", "decode", "finalize")}
    return FirstFrame(first_frame_sec, text_sec, process_sec, stages)


def _with_encoders_in_memory(model: LoadedModel) -> LoadedModel:
    """The model with its text and photo encoders built."""
    model.text.load()
    encoder = model.build_image_encoder()
    return replace(model, build_image_encoder=lambda: encoder)


def main(argv: Sequence[str]) -> int:
    """Entry of the process."""
    setup, began = argv
    print(json.dumps(asdict(measure_here(Setup(**json.loads(setup)), float(began)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
