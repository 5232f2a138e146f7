# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The few-step flow-matching schedule.

A noisy sample is ``(1 - sigma) * clean + sigma * noise``, and the network estimates the flow
``noise - clean``. Each step removes all noise; the next one adds fresh noise of its own,
lower level.

The constants are those of NVIDIA FlashDreams' LingBot-World-Fast pipeline: four steps of a
1000-entry table, shifted by 10 towards high noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lingbot_core.errors import InputError

SCHEDULES = ("bf16", "fp32")
"""``bf16``: every value rounded to bfloat16, as the published model is run. ``fp32``: unrounded."""

_TABLE_LENGTH = 1000
_SIGMA_MAX = 0.999
"""Largest sigma, before the shift."""
_SHIFT = 10.0
_STEPS = (1000, 821, 642, 321)
"""The steps taken, counted from the clean end of the table. They are positions, not timesteps."""


@dataclass(frozen=True)
class Schedule:
    """Timesteps and noise levels of the denoising steps, noisiest first."""

    name: str
    """One of ``SCHEDULES``."""

    timesteps: tuple[float, ...]
    """What the network is told about the noise level, 0 (clean) to 1000 (noise)."""

    sigmas: tuple[float, ...]
    """Share of noise in a noisy sample, 0 to 1."""

    one_minus_sigmas: tuple[float, ...]
    """Share of the clean sample. Rounded by itself, so not exactly ``1 - sigma``."""

    cache_update_timestep: float = 0.0
    """Timestep of the pass that puts the clean chunk into the KV cache."""

    @property
    def num_steps(self) -> int:
        """Denoising passes per chunk."""
        return len(self.timesteps)

    def remove_noise(self, noisy: Tensor, flow: Tensor, step: int) -> Tensor:
        """Estimate the clean sample from a noisy one and its flow.

        All tensors are of one shape and dtype. Every operation rounds to that dtype, as
        upstream's do.
        """
        return noisy - self.sigmas[step] * flow

    def add_noise(self, clean: Tensor, noise: Tensor, step: int) -> Tensor:
        """Mix a clean sample with fresh standard normal noise to the level of ``step``."""
        return self.one_minus_sigmas[step] * clean + self.sigmas[step] * noise


def sigma_table() -> Tensor:
    """All noise levels, float32 ``[1000]``, falling from 0.9999; the last is just above 0."""
    unshifted = torch.linspace(_SIGMA_MAX, 0.0, _TABLE_LENGTH + 1, dtype=torch.float32)[:-1]
    return _SHIFT * unshifted / (1 + (_SHIFT - 1) * unshifted)


def make_schedule(name: str) -> Schedule:
    """The schedule in one of the two roundings.

    Args:
        name: ``bf16`` (timesteps 1000, 976, 948, 824) or ``fp32`` (999, 978, 947, 825).

    Raises:
        InputError: If ``name`` is neither.
    """
    if name not in SCHEDULES:
        raise InputError("This noise schedule does not exist.", got=repr(name), need=" or ".join(SCHEDULES))
    sigmas = sigma_table()[[_TABLE_LENGTH - step for step in _STEPS]]
    timesteps = (sigmas * _TABLE_LENGTH).to(torch.int64)  # upstream stores whole numbers, rounded down

    def rounded(values: Tensor) -> tuple[float, ...]:
        return tuple(values.to(torch.bfloat16 if name == "bf16" else torch.float32).tolist())

    return Schedule(name, rounded(timesteps), rounded(sigmas), rounded(1 - sigmas))
