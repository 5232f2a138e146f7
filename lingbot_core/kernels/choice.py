# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Which implementation of a kernel runs: Triton where it works, else plain torch.

Every kernel is a torch function; ``@with_triton_twin`` names the module that has a Triton function
of the same name and signature. ``LINGBOT_KERNELS=torch`` forces the torch functions.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import torch

VARIABLE = "LINGBOT_KERNELS"
"""Environment variable; ``torch`` switches the Triton kernels off."""

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
"""Of the tensors that the Triton kernels, which compute in float32, take."""

MIN_CAPABILITY = (8, 0)
"""First GPUs with bf16 arithmetic."""

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class Kernel(Generic[P, R]):
    """A kernel with two implementations; called with the first tensor's device in mind.

    Args:
        reference: The torch function.
        module: Module with the Triton function of the same name.
    """

    def __init__(self, reference: Callable[P, R], module: str) -> None:
        functools.update_wrapper(self, reference)
        self.torch = reference
        self._module = module

    @functools.cached_property
    def triton(self) -> Callable[P, R]:
        """The Triton function; importing it needs Triton."""
        return getattr(importlib.import_module(self._module), self.torch.__name__)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        assert isinstance(first, torch.Tensor), type(first)
        use_triton = first.is_cuda and first.dtype in DTYPES and runs_triton(first.device)
        function = self.triton if use_triton else self.torch
        return function(*args, **kwargs)


def with_triton_twin(module: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Decorate a torch function that has a Triton twin of the same name in ``module``."""
    return lambda reference: Kernel(reference, module)


@functools.cache
def runs_triton(device: torch.device) -> bool:
    """Whether the Triton kernels run on a device; logged when first asked."""
    use, reason = _decide(device)
    _log.info("Kernels on %s: %s (%s).", device, "Triton" if use else "torch", reason)
    return use


def _decide(device: torch.device) -> tuple[bool, str]:
    choice = os.environ.get(VARIABLE, "").strip().lower()
    if choice == "torch":
        return False, f"{VARIABLE}=torch"
    if device.type != "cuda" or torch.version.hip is not None:
        return False, "no NVIDIA GPU"
    if torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return False, "the GPU is older than compute capability 8.0"
    if importlib.util.find_spec("triton") is None:
        return False, "Triton is not installed"
    try:
        from lingbot_core.kernels import triton_check

        triton_check.run(device)
    except Exception as error:  # no C compiler, no driver headers, a version that does not fit: any of a dozen kinds
        _log.warning("Triton does not work here, so torch's slower kernels are used: %s", error)
        return False, "Triton does not work"
    return True, torch.cuda.get_device_name(device)
