# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Deterministic test weights and inputs for the golden fixtures (NumPy only).

Nothing here depends on a deep-learning framework or on its random number generator: the legacy
``numpy.random.RandomState`` stream is frozen by NumPy's compatibility policy, so every machine gets
the same values.

Weights.  For a tensor stored in the CHECKPOINT under the full key K with shape S:
    z = RandomState(crc32(K)).standard_normal(S) as float32
    last component of K is "modulation"            ->  0.1 * z
    last component of K is "gamma", or K is a
      rank-1 "weight" (every norm weight)          ->  1 + 0.1 * z
    last component of K is "bias"                  ->  0.02 * z
    any other rank >= 2 tensor                     ->  z * float32(1 / sqrt(prod(S[1:])))
All arithmetic is float32.  K is the key with no prefix, exactly as in the checkpoint, before any
post-load re-layout.

Inputs.  ``seeded_input(tag, shape)`` draws RandomState(crc32(tag)).standard_normal(shape) as float32.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

__all__ = ["seeded_input", "seeded_state_dict", "seeded_tensor"]


def _normal(tag: str, shape: Sequence[int]) -> np.ndarray:
    state = np.random.RandomState(zlib.crc32(tag.encode("utf-8")))
    return state.standard_normal(tuple(shape)).astype(np.float32)


def seeded_input(tag: str, shape: Sequence[int]) -> np.ndarray:
    """Standard normal float32 input identified by a text tag."""
    return _normal(tag, shape)


def seeded_tensor(name: str, shape: Sequence[int]) -> np.ndarray:
    """Test weight for the checkpoint tensor ``name``."""
    shape = tuple(int(n) for n in shape)
    z = _normal(name, shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "modulation":
        return z * np.float32(0.1)
    if leaf == "gamma" or (leaf == "weight" and len(shape) == 1):
        return np.float32(1.0) + z * np.float32(0.1)
    if leaf == "bias":
        return z * np.float32(0.02)
    if len(shape) < 2:
        raise ValueError(f"no rule for {name} with shape {shape}")
    fan_in = int(np.prod(shape[1:]))
    return z * np.float32(1.0 / np.sqrt(float(fan_in)))


def seeded_state_dict(
    shapes: Mapping[str, Sequence[int]] | Iterable[tuple[str, Sequence[int]]],
) -> dict[str, np.ndarray]:
    """Test weights for a whole ``{name: shape}`` table."""
    return {name: seeded_tensor(name, shape) for name, shape in dict(shapes).items()}
