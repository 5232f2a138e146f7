# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""CUDA streams beside the current one: one per purpose, for the life of the process.

cuBLAS keeps a workspace for every stream that it has ever run on, 33 MiB on Hopper, and torch hands out up to 32
streams. A new stream for every model, photo or recording would take a GiB from the GPU that nothing gives back.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch

Purpose = Literal["encode", "decode", "record", "offload"]
"""``encode`` is for photos, ``decode`` for frames, ``record`` for CUDA graphs, ``offload`` for weights on their way."""


@functools.cache
def side_stream(device: torch.device, purpose: Purpose) -> torch.cuda.Stream:
    """The stream of a GPU for a purpose, always the same one. Who shares it waits for each other, no more."""
    return torch.cuda.Stream(device)
