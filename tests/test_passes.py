# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The passes over fixed memory against recorded rollouts: on a GPU with its kernels and CUDA graphs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lingbot_core.models.tokens import unpatchify
from lingbot_core.passes import VARIABLE, NetworkPasses
from lingbot_core.sampler import sample_chunk
from lingbot_core.schedule import make_schedule
from tests.golden import dit_tiny

WINDOWS = {"window63_sink0": (63, 0), "window15_sink3": (15, 3)}


def relative_errors(window: str, name: str, device: str) -> list[float]:
    """Relative L2 distance of each chunk's clean latents from a recording."""
    recorded, schedule, dtype = RECORDED[name]
    expected = dit_tiny.recorded("chunk_tiny")[f"{window}.{recorded}"]
    network = dit_tiny.build_network(dtype=dtype).to(device)
    cache = dit_tiny.build_cache(network.config, *WINDOWS[window], dtype, device)
    levels = make_schedule(schedule)
    passes = NetworkPasses(network, cache, levels, dit_tiny.GRID)
    noise = dit_tiny.recorded("chunk_tiny")["noise"].to(device, dtype)

    def generate(chunk_index: int) -> Tensor:
        cache.begin_chunk(chunk_index)
        passes.set_text("recorded", dit_tiny.text_embedding())
        shared = dit_tiny.condition_tokens(chunk_index), dit_tiny.camera_tokens(chunk_index)
        passes.begin_chunk(chunk_index, *(tokens.to(device, dtype) for tokens in shared))
        draws = iter(noise[chunk_index])
        *_, clean = sample_chunk(passes.denoise, levels, lambda: next(draws))
        passes.update_cache(clean)
        cache.commit_chunk()
        return unpatchify(clean, dit_tiny.GRID).float().cpu()

    with torch.inference_mode():
        return [dit_tiny.relative_l2(generate(index), chunk) for index, chunk in enumerate(expected)]


RECORDED = {
    "fp32": ("clean", "fp32", torch.float32),
    "fp32 with levels of bf16": ("clean_bf16_schedule_values", "bf16", torch.float32),
    "bf16": ("clean_bf16_run", "bf16", torch.bfloat16),
}
"""Name of a recording -> its tensor, schedule and dtype."""


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", RECORDED)
def test_rollout_matches_the_recording(window: str, name: str) -> None:
    errors = relative_errors(window, name, "cpu")
    assert max(errors) <= (2e-2 if name == "bf16" else 1e-5), errors


@pytest.mark.gpu
@pytest.mark.parametrize("graphs", ["1", "0"], ids=["graphs", "no graphs"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", RECORDED)
def test_rollout_on_a_gpu_matches_the_recording(
    monkeypatch: pytest.MonkeyPatch, window: str, name: str, graphs: str
) -> None:
    assert not torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setenv(VARIABLE, graphs)
    errors = relative_errors(window, name, "cuda")
    print(f"{window}, {name}, {'graphs' if graphs == '1' else 'no graphs'}: largest error {max(errors):.1e}")
    assert max(errors) <= (2e-2 if name == "bf16" else 1e-4), errors
