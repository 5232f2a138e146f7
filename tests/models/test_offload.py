# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Matrices that wait in host memory: the same bits, and little of them on the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingbot_core import preflight
from lingbot_core.checkpoints import build_empty, finish
from lingbot_core.errors import InputError, ResourceError
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.loader import load_model
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.models.offload import NUM_BUFFERS, resident_bytes
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.passes import NetworkPasses
from lingbot_core.random_weights import fill_random
from lingbot_core.schedule import make_schedule
from lingbot_core.variants import VARIANTS
from tests.golden import dit_tiny
from tests.tiny_engine import assert_same_chunks, make_request, run

VARIANT = VARIANTS["lingbot-world-fast-taehv-window15-sink3"]


def settings(device: str, precision: str, *, offload: bool) -> RunSettings:
    """How a network is built."""
    resolved = RunSettings.resolve(VARIANT, ModelOptions(device=device, precision="fp32" if device == "cpu" else None))
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    return replace(resolved, precision=precision, dtype=dtype, offload=offload)


def build(device: str, precision: str, config: DiTConfig, *, offload: bool) -> LingBotDiT:
    """A network with random weights, the same with and without."""
    run_settings = settings(device, precision, offload=offload)
    made = build_empty(lambda config: LingBotDiT(config, fp8=precision == "fp8"), config, run_settings)
    fill_random(made.checkpoint_views(), 1, run_settings.device)
    finish(made)
    return made


@torch.inference_mode()
def latents(dit: LingBotDiT, num_chunks: int = 3) -> list[Tensor]:
    """What passes of every kind give, one chunk after the other, with a new text in each."""
    weight = dit.patch_embedding.weight
    cache = dit_tiny.build_cache(dit.config, 6, 3, weight.dtype, str(weight.device))
    passes, flows = NetworkPasses(dit, cache, make_schedule("fp32"), dit_tiny.GRID), []
    for index in range(num_chunks):
        tokens = torch.randn(dit_tiny.NUM_TOKENS, 64, generator=torch.Generator().manual_seed(index)).to(weight)
        cache.begin_chunk(index)
        passes.set_text(str(index), (1 + index) * dit_tiny.text_embedding())
        shared = dit_tiny.condition_tokens(index), dit_tiny.camera_tokens(index)
        passes.begin_chunk(index, *(part.to(weight) for part in shared))
        flows += [passes.denoise(tokens, step).clone() for step in range(2)]
        passes.update_cache(tokens)
        cache.commit_chunk()
    return flows


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8"])
def test_passes_are_the_same_bits(precision: str, num_layers: int) -> None:
    config = replace(dit_tiny.CONFIG, num_layers=num_layers)
    expected, actual = (latents(build("cpu", precision, config, offload=offload)) for offload in (False, True))
    assert all(map(torch.equal, actual, expected))


@pytest.mark.gpu
@pytest.mark.parametrize("num_layers", [3, 4])
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_passes_on_a_gpu_are_the_same_bits(precision: str, num_layers: int) -> None:
    config = DiTConfig(
        dim=1024, ffn_dim=4096, num_heads=8, num_layers=num_layers, text_dim=64, text_len=32
    )  # large enough that a matrix that is late is seen
    expected = latents(build("cuda", precision, config, offload=False), 6)
    offloaded = build("cuda", precision, config, offload=True)
    for _ in range(3):
        assert all(map(torch.equal, latents(offloaded, 6), expected))


def test_little_is_on_the_device_and_the_rest_is_counted() -> None:
    config = replace(dit_tiny.CONFIG, num_layers=6)
    whole, dit = (build("cpu", "bf16", config, offload=offload) for offload in (False, True))
    assert dit.offloaded is not None
    matrices = preflight.offloaded_bytes(config, 2)
    assert abs(dit.offloaded.num_host_bytes - matrices) < 0.02 * matrices
    saved = resident_bytes(whole.parameters()) - resident_bytes(dit.parameters())
    assert abs(saved - matrices * (6 - NUM_BUFFERS) / 6) < 0.05 * matrices


def test_loaded_model_gives_the_same_chunks(tiny_checkpoint: Path) -> None:
    options = ModelOptions(device="cpu", checkpoint_root=tiny_checkpoint, frame_size=(32, 48))
    models = (load_model(VARIANT, replace(options, offload=offload)) for offload in ("none", "weights"))
    executors = [LocalExecutor(model) for model in models]
    assert executors[0].num_bytes > executors[1].num_bytes
    expected, actual = (run(executor, make_request(2)) for executor in executors)
    assert_same_chunks(actual, expected)


def test_estimate_counts_two_layers_and_advice_names_the_choice() -> None:
    config = DiTConfig.lingbot_14b()
    memory = preflight.RunMemory(VARIANT, config, 18_544_332_864, 0, 2, (464, 832), 6, may_choose_offload=True)
    waiting = replace(memory, offload=True)
    gib = memory.estimate().weights / preflight.GIB, waiting.estimate().weights / preflight.GIB
    assert 34 < gib[0] < 35 and 2 < gib[1] < 3
    assert "offload weights" in memory.advise(waiting.estimate().total * 11 // 10)
    assert "offload" not in replace(memory, may_choose_offload=False).advise(waiting.estimate().total * 11 // 10)


def test_too_little_host_memory_is_said_before_anything_is_read(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ModelOptions(device="cpu", checkpoint_root=tiny_checkpoint, frame_size=(32, 48), offload="weights")
    monkeypatch.setattr(preflight, "HOST_RESERVE_BYTES", 2**60)
    monkeypatch.setattr("lingbot_core.loader.build_network", lambda *_: pytest.fail("weights are read"))
    with pytest.raises(ResourceError, match="Not enough host memory.*GiB free.*offload none"):
        load_model(VARIANT, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offload": "everything"}, "Unknown offload.*'everything'.*none or weights"),
        ({"offload": "weights", "num_gpus": 2}, "several GPUs.*offload weights with 2 GPUs"),
    ],
)
def test_choices_that_are_not_possible_get_one_clear_error(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunSettings.resolve(VARIANT, ModelOptions(device="cpu", **options))
