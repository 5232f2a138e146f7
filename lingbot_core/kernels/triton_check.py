# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A kernel that does nothing but show that kernels can be compiled and launched."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _double_kernel(x_ptr):
    tl.store(x_ptr, tl.load(x_ptr) * 2)


def run(device: torch.device) -> None:
    """Compile and launch it; raises whatever Triton raises when that is not possible."""
    x = torch.ones(1, device=device)
    with torch.cuda.device(device):
        _double_kernel[(1,)](x)
    if x.item() != 2.0:
        raise RuntimeError("a test kernel gave a wrong result")
