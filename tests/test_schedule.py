# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Timesteps, noise levels and the sampling arithmetic, against recorded numbers."""

from __future__ import annotations

import pytest
import torch

from lingbot_core.errors import InputError
from lingbot_core.schedule import SCHEDULES, make_schedule, sigma_table
from tests.golden.dit_tiny import recorded

GOLDEN = recorded("sampler_bf16")


def test_sigma_table_matches_recording() -> None:
    torch.testing.assert_close(sigma_table(), GOLDEN["table.sigmas_fp32"], rtol=1e-6, atol=0)


def test_make_schedule_bf16_matches_recording() -> None:
    schedule = make_schedule("bf16")
    assert list(schedule.timesteps) == GOLDEN["steps.timestep_bf16"].tolist() == [1000, 976, 948, 824]
    assert list(schedule.sigmas) == GOLDEN["steps.sigma_bf16"].tolist()
    assert list(schedule.one_minus_sigmas) == GOLDEN["steps.one_minus_sigma_bf16"].tolist()
    assert schedule.cache_update_timestep == 0 and schedule.num_steps == 4


def test_make_schedule_fp32_matches_recording() -> None:
    schedule = make_schedule("fp32")
    assert list(schedule.timesteps) == GOLDEN["steps.timestep_int64"].tolist() == [999, 978, 947, 825]
    assert schedule.sigmas == pytest.approx(GOLDEN["steps.sigma_fp32"].tolist(), rel=1e-6)
    # 1 - sigma cancels: its own relative error is that of sigma, magnified
    assert schedule.one_minus_sigmas == pytest.approx(GOLDEN["steps.one_minus_sigma_fp32"].tolist(), abs=1e-7)


def test_make_schedule_when_name_is_unknown_raises() -> None:
    with pytest.raises(InputError, match="bf16 or fp32"):
        make_schedule("fp8")


@pytest.mark.parametrize("toy", ["tanh", "scale", "time"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_match_recorded_loop_bit_for_bit(name: str, toy: str) -> None:
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[name]
    noise = GOLDEN[f"loop_{name}.noise"].to(dtype)
    flow = GOLDEN[f"loop_{name}.{toy}.flow"].to(dtype)
    network_input = GOLDEN[f"loop_{name}.{toy}.network_input"]
    schedule = make_schedule(name)
    assert list(schedule.timesteps) == GOLDEN[f"loop_{name}.timestep_seen"].tolist()

    noisy = noise[0]
    for step in range(schedule.num_steps):
        assert torch.equal(noisy.float(), network_input[step]), step
        clean = schedule.remove_noise(noisy, flow[step], step)
        assert clean.dtype == dtype
        if step + 1 < schedule.num_steps:
            noisy = schedule.add_noise(clean, noise[step + 1], step + 1)
    assert torch.equal(clean.float(), GOLDEN[f"loop_{name}.{toy}.clean"])


def test_noise_drawn_in_float32_and_cast_is_the_recorded_noise() -> None:
    generator = torch.Generator("cpu").manual_seed(42)
    draws = torch.stack([torch.randn(72, 64, generator=generator) for _ in range(4)])
    assert torch.equal(draws, recorded("chunk_tiny")["noise"][0])
