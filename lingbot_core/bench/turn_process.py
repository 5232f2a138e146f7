# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""One rank of a turn; see :mod:`lingbot_core.bench.turns`, which starts as many as there are GPUs.

Takes the setup as JSON and a folder; writes what it has measured to ``<rank>.json`` there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lingbot_core.bench.ceilings import card_rate
from lingbot_core.bench.flashdreams import FlashDreams, ReferenceSettings, open_checkout
from lingbot_core.bench.rollouts import OwnRollouts
from lingbot_core.bench.turns import TurnSetup
from lingbot_core.executor.ranks import RankGroup, follow, lead
from lingbot_core.loader import random_model, random_network
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.preflight import release_unused_memory
from lingbot_core.random_weights import SIZES
from lingbot_core.stats import memory_gib
from lingbot_core.timeline import CHUNK_LATENT_FRAMES, chunk_tokens
from lingbot_core.variants import get_variant


def run_own(setup: TurnSetup, device: torch.device) -> dict[str, Any]:
    """A turn of ours; rank 0 leads."""
    options = _options(setup, device)
    variant, config = get_variant(setup.slug), SIZES[setup.size].dit
    group = RankGroup.connect(device)
    num_tokens, frame_size = chunk_tokens(setup.height, setup.width), (setup.height, setup.width)
    values = RunSettings.resolve(variant, options).dtype.itemsize
    sent = group.parallel.bytes_per_pass(
        num_tokens, width=config.dim, num_layers=config.num_layers, bytes_per_value=values
    )
    result: dict[str, Any] = _nothing(sent)
    if group.rank > 0:
        follow(group, random_network(variant, options, group.parallel, size=setup.size))
    else:
        model = random_model(variant, options, size=setup.size, parallel=group.parallel)
        executor = lead(group, model)
        own = OwnRollouts(model, setup.num_chunks, frame_size, executor)
        own.run()
        result["card"] = _card(device, config, num_tokens)
        result["own"] = [[asdict(stats) for stats in own.run()] for _ in range(setup.num_rollouts)]
        result["new_photo"] = [asdict(stats) for stats in own.run_new_photo()]
        executor.stop()
    result["peak_gib"] = memory_gib(device)[2]
    group.close()
    return result


def run_reference(setup: TurnSetup, device: torch.device) -> dict[str, Any]:
    """A turn of theirs, which splits a pass over the ranks of the default group by itself."""
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    assert setup.reference is not None
    variant, config = get_variant(setup.slug), SIZES[setup.size].dit
    run = RunSettings.resolve(variant, _options(setup, device))
    settings = ReferenceSettings(
        slug=setup.slug,
        config=config,
        frame_size=(setup.height, setup.width),
        window_frames=run.window_chunks * CHUNK_LATENT_FRAMES,
        sink_frames=run.sink_chunks * CHUNK_LATENT_FRAMES,
        device=device,
    )
    reference = FlashDreams(open_checkout(Path(setup.reference)), settings)
    result = _nothing(0)
    reference.run(setup.num_chunks)
    dist.barrier()
    result["card"] = _card(device, config, chunk_tokens(setup.height, setup.width))
    dist.barrier()
    rollouts = [reference.run(setup.num_chunks) for _ in range(setup.num_rollouts)]
    result["reference"] = [[asdict(chunk) for chunk in rollout] for rollout in rollouts]
    result |= {"first_chunk_sec": reference.first_chunk_sec, "peak_gib": memory_gib(device)[2]}
    reference.close()
    dist.destroy_process_group()
    return result


def _options(setup: TurnSetup, device: torch.device) -> ModelOptions:
    return ModelOptions(
        precision=setup.precision,  # pyright: ignore[reportArgumentType] - checked when the options are resolved
        attention=setup.attention,
        device=str(device),
        window_frames=setup.window,
        sink_frames=setup.sink,
        frame_size=(setup.height, setup.width),
    )


def _nothing(bytes_per_pass: int) -> dict[str, Any]:
    return {
        "own": [],
        "new_photo": [],
        "reference": [],
        "card": "",
        "first_chunk_sec": 0.0,
        "bytes_per_pass": bytes_per_pass,
        "peak_gib": 0.0,
    }


def _card(device: torch.device, config: DiTConfig, num_tokens: int) -> str:
    """How fast the card multiplies and copies."""
    if device.type != "cuda":
        return "no GPU"
    rate = card_rate(device, torch.bfloat16, (num_tokens, config.dim, config.ffn_dim))
    release_unused_memory(device)
    return str(rate)


def main(argv: Sequence[str]) -> int:
    """Entry of the process; torch elastic's environment variables say which rank it is."""
    setup, folder = TurnSetup(**json.loads(argv[0])), Path(argv[1])
    is_gpu = setup.device_type == "cuda"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if is_gpu else torch.device("cpu")
    result = (run_own if setup.engine == "own" else run_reference)(setup, device)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(result), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
