# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Which implementation of a kernel runs, and what is said about it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch

from lingbot_core import kernels
from lingbot_core.kernels import choice
from lingbot_core.kernels.choice import VARIABLE, Kernel, runs_triton

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """No answer is kept from one test to the next."""
    runs_triton.cache_clear()
    yield
    runs_triton.cache_clear()


@pytest.fixture
def new_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU on which Triton works."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda _: object())
    check_by(monkeypatch, lambda _: None)


def check_by(monkeypatch: pytest.MonkeyPatch, run: Callable[[torch.device], None]) -> None:
    """Stands for the check; the real one imports kernels, which other tests import in another mode of Triton."""
    monkeypatch.setitem(sys.modules, "lingbot_core.kernels.triton_check", SimpleNamespace(run=run))  # pyright: ignore
    monkeypatch.setattr(kernels, "triton_check", SimpleNamespace(run=run), raising=False)


class OnGPU(torch.Tensor):
    """Says that it is on a GPU."""

    is_cuda = True  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    device = GPU  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


def kernel() -> Kernel:
    """One whose functions tell which of them ran."""

    def double(x: torch.Tensor) -> str:
        return "torch"

    made = Kernel(double, "none")
    made.triton = lambda x: "triton"  # pyright: ignore[reportAttributeAccessIssue]
    return made


def on_gpu(dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.zeros(2, dtype=dtype).as_subclass(OnGPU)


def test_triton_runs_on_a_gpu_and_torch_elsewhere(new_gpu: None) -> None:
    assert kernel()(on_gpu()) == "triton"
    assert kernel()(torch.zeros(2)) == "torch"
    assert kernel()(on_gpu(torch.float64)) == "torch"


def test_choice_is_made_and_logged_once(new_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, choice.__name__):
        for _ in range(3):
            kernel()(on_gpu())
    assert [record.message for record in caplog.records] == ["Kernels on cuda:0: Triton (a GPU)."]


@pytest.mark.parametrize("value", ["torch", " Torch "])
def test_variable_forces_the_torch_functions(
    new_gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with caplog.at_level(logging.INFO, choice.__name__):
        assert kernel()(on_gpu()) == "torch"
    assert "torch (LINGBOT_KERNELS=torch)" in caplog.text


@pytest.mark.parametrize(
    ("target", "name", "value", "reason"),
    [
        (torch.version, "hip", "6.0", "no NVIDIA GPU"),
        (torch.cuda, "get_device_capability", lambda _: (7, 5), "older than compute capability 8.0"),
        (choice.importlib.util, "find_spec", lambda _: None, "Triton is not installed"),
    ],
)
def test_torch_runs_where_triton_cannot_and_the_log_says_why(
    new_gpu: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    target: object,
    name: str,
    value: object,
    reason: str,
) -> None:
    monkeypatch.setattr(target, name, value)
    with caplog.at_level(logging.INFO, choice.__name__):
        assert kernel()(on_gpu()) == "torch"
    assert reason in caplog.text


def test_triton_that_fails_is_told_once_as_a_warning(
    new_gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: torch.device) -> None:
        raise RuntimeError("no C compiler")

    check_by(monkeypatch, fail)
    for _ in range(2):
        assert kernel()(on_gpu()) == "torch"
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "no C compiler" in warnings[0]
