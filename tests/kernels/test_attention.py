# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Attention against its formula, and the choice of a backend.

Packages that are not installed are stood in for by modules that take what the real ones document.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from lingbot_core.errors import InputError
from lingbot_core.kernels import attention as module
from lingbot_core.kernels.attention import AUTO, NAMES, Choice, attention, choose, exact_name
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.models.dit_config import DiTConfig

CPU = torch.device("cpu")
BF16 = torch.bfloat16
OF_TORCH = ("cudnn", "flash", "efficient", "sdpa")


@pytest.fixture(autouse=True)
def forget_choices() -> Iterator[None]:
    """Let no test see what another one chose."""
    choose.cache_clear()
    yield
    choose.cache_clear()


def random_input(queries: int, keys: int, heads: int, head_dim: int, **like: Any) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(n, heads, head_dim, generator=generator).to(**like) for n in (queries, keys, keys))
    return q, k, v


def formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """In float64, over ``[..., L, N, D]``."""
    q, k, v = q.double(), k.double(), v.double()
    weights = (torch.einsum("...lnd,...snd->...nls", q, k) / math.sqrt(q.shape[-1])).softmax(-1)
    return torch.einsum("...nls,...snd->...lnd", weights, v)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double().cpu() - expected.cpu()).norm() / expected.norm().cpu())


def install(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Callable[..., object]) -> None:
    """Make ``import name`` give a module with these functions."""
    stand_in = ModuleType(name)
    for key, function in functions.items():
        setattr(stand_in, key, function)
    monkeypatch.setitem(sys.modules, name, stand_in)
    if "." in name:
        parent = name.partition(".")[0]
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))


def allow_on_cpu(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let backends be tried on the CPU."""
    allowed = {name: replace(module._BACKENDS[name], devices=("cpu", "cuda")) for name in names}
    monkeypatch.setattr(module, "_BACKENDS", {**module._BACKENDS, **allowed})
    monkeypatch.setattr(module, "_candidates", lambda device: (*names, "sdpa"))


def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, softmax_scale=None, causal=False, **others: object) -> Tensor:
    """As FlashAttention documents it: ``[batch, tokens, heads, head size]``, last axis without gaps."""
    assert q.dim() == k.dim() == v.dim() == 4 and k.shape == v.shape and q.shape[2:] == k.shape[2:]
    assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1 and q.dtype in (torch.bfloat16, torch.float16)
    assert softmax_scale is None and not causal and not others
    return formula(q, k, v).to(q.dtype)


def sageattn(q: Tensor, k: Tensor, v: Tensor, tensor_layout="HND", is_causal=False, sm_scale=None, **others) -> Tensor:
    """As SageAttention documents it; as inexact as 8 bits are."""
    assert tensor_layout == "NHD" and not is_causal and not others
    assert q.dim() == 4 and q.shape[2:] == k.shape[2:] and sm_scale == q.shape[-1] ** -0.5
    return (formula(q, k, v) * 1.03).to(q.dtype)


# --- computing --------------------------------------------------------------------------


@pytest.mark.parametrize("head_dim", [48, 128])
@pytest.mark.parametrize("name", [AUTO, "sdpa"])
def test_attention_matches_formula_without_mask(name: str, head_dim: int) -> None:
    inputs = random_input(6, 15, 2, head_dim)
    torch.testing.assert_close(attention(*inputs, name).double(), formula(*inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("returned", [lambda out: out, lambda out: (out, None)], ids=["tensor", "tuple"])
@pytest.mark.parametrize(
    ("name", "package"), [("flash3", "flash_attn_interface"), ("flash4", "flash_attn.cute")], ids=["flash3", "flash4"]
)
def test_flash_attention_when_installed_is_called_as_documented(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, returned: Callable[[Tensor], object]
) -> None:
    install(monkeypatch, package, flash_attn_func=lambda *args, **kwargs: returned(flash_attn_func(*args, **kwargs)))
    allow_on_cpu(monkeypatch, name)
    inputs = random_input(72, 144, 3, 48, dtype=BF16)
    result = attention(*inputs, name)
    assert result.shape == (72, 3, 48) and result.dtype == BF16
    assert relative_error(result, formula(*inputs)) < 5e-3


def test_sage_attention_when_installed_is_called_as_documented_and_known_to_be_inexact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, "sageattention", sageattn=sageattn)
    allow_on_cpu(monkeypatch, "sage")
    inputs = random_input(72, 144, 3, 128, dtype=BF16)
    assert 0.02 < relative_error(attention(*inputs, "sage"), formula(*inputs)) < 0.05
    choice = choose("sage", CPU, BF16, 128)
    assert (choice.name, choice.label, choice.is_exact) == ("sage", "SageAttention", False)


def test_network_with_an_inexact_backend_attends_exactly_to_the_text() -> None:
    config = DiTConfig(dim=64, ffn_dim=32, num_heads=2, num_layers=2)
    with torch.device("meta"):
        network = LingBotDiT(config, attention="sage")
    pairs = {(block.self_attn.backend, block.cross_attn.backend) for block in network.blocks}  # pyright: ignore[reportAttributeAccessIssue]
    assert pairs == {("sage", AUTO)} and network.attention == "sage"
    assert [exact_name(name) for name in NAMES] == [name if name != "sage" else AUTO for name in NAMES]


# --- choosing ---------------------------------------------------------------------------


def test_choose_on_the_cpu_takes_torch_and_logs_it_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert choose(AUTO, CPU, torch.float32, 48) is choose(AUTO, CPU, torch.float32, 48)
    assert choose(AUTO, CPU, torch.float32, 48).label == "torch SDPA (cpu)"
    assert caplog.messages == ["Attention on cpu in float32 with heads of 48: torch SDPA (cpu)."]


def test_choose_when_the_name_is_unknown_lists_the_names() -> None:
    with pytest.raises(InputError, match=r"Unknown attention\..*'xformers'.*auto or cudnn or .* or sage"):
        choose("xformers", CPU, BF16, 128)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (AUTO, "sdpa")])
def test_choose_when_the_device_cannot_says_what_can(name: str) -> None:
    label = module._BACKENDS[name].label
    with pytest.raises(
        InputError, match=rf"by {label} is not possible on cpu in bfloat16.*a GPU.*Needed: auto or sdpa"
    ):
        choose(name, CPU, BF16, 128)


def test_choose_when_the_dtype_is_float32_says_that_bf16_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "flash_attn_interface", flash_attn_func=flash_attn_func)
    allow_on_cpu(monkeypatch, "flash3")
    with pytest.raises(InputError, match=r"in float32 .*computes in bf16 and fp16 only"):
        choose("flash3", CPU, torch.float32, 128)


def fail(error: Exception) -> Callable[..., Tensor]:
    def function(*_: object, **__: object) -> Tensor:
        raise error

    return function


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (None, "flash_attn_interface is not installed"),
        ({}, "flash_attn_func"),
        ({"flash_attn_func": fail(AssertionError("head size\nfar too odd"))}, r"head size\)?\."),
        ({"flash_attn_func": fail(NotImplementedError())}, "NotImplementedError"),
        ({"flash_attn_func": lambda q, k, v: q}, "its result is wrong by"),
        ({"flash_attn_func": lambda q, k, v: q * float("nan")}, "its result is wrong by nan"),
    ],
    ids=["absent", "another version", "refuses", "says nothing", "wrong", "nan"],
)
def test_choose_when_the_package_fails_says_how_and_what_can(
    monkeypatch: pytest.MonkeyPatch, functions: dict[str, Callable[..., Tensor]] | None, message: str
) -> None:
    if functions is None:
        monkeypatch.setitem(sys.modules, "flash_attn_interface", None)  # import raises ModuleNotFoundError
    else:
        install(monkeypatch, "flash_attn_interface", **functions)
    install(monkeypatch, "sageattention", sageattn=sageattn)
    allow_on_cpu(monkeypatch, "flash3", "sage")
    with pytest.raises(InputError, match=message) as caught:
        choose("flash3", CPU, BF16, 128)
    assert caught.value.need == "auto or sdpa or sage"


def test_choose_when_a_package_needs_another_one_names_that(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ModuleNotFoundError("No module named 'cutlass'", name="cutlass")
    install(monkeypatch, "flash_attn.cute", flash_attn_func=fail(missing))
    allow_on_cpu(monkeypatch, "flash4")
    with pytest.raises(InputError, match="No module named 'cutlass'"):
        choose("flash4", CPU, BF16, 128)


def test_choose_when_auto_takes_the_first_that_is_right_and_says_why_not_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    install(monkeypatch, "flash_attn_interface", flash_attn_func=lambda q, k, v: q)
    install(monkeypatch, "flash_attn.cute", flash_attn_func=flash_attn_func)
    allow_on_cpu(monkeypatch, "flash3", "flash4")
    assert choose(AUTO, CPU, BF16, 128).label == "FlashAttention-4"
    assert "FlashAttention-4 (not FlashAttention-3: its result is wrong by" in caplog.text
    assert choose(AUTO, CPU, torch.float32, 128).name == "sdpa"


def test_choose_when_memory_is_short_says_so_and_tries_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "flash_attn_interface", flash_attn_func=fail(torch.OutOfMemoryError("no room")))
    allow_on_cpu(monkeypatch, "flash3")
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        choose(AUTO, CPU, BF16, 128)
    install(monkeypatch, "flash_attn_interface", flash_attn_func=flash_attn_func)
    assert choose(AUTO, CPU, BF16, 128).name == "flash3"


def test_trial_does_not_touch_the_random_numbers_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "flash_attn_interface", flash_attn_func=flash_attn_func)
    allow_on_cpu(monkeypatch, "flash3")
    before = torch.get_rng_state()
    choose("flash3", CPU, BF16, 128)
    assert torch.equal(torch.get_rng_state(), before)


# --- on a GPU ---------------------------------------------------------------------------


def on_gpu(name: str, dtype: torch.dtype, head_dim: int) -> tuple[Choice, torch.device]:
    device = torch.device("cuda", torch.cuda.current_device())
    try:
        return choose(name, device, dtype, head_dim), device
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize(("queries", "keys"), [(72, 72), (72, 512), (333, 1000), (1131, 6786)])
@pytest.mark.parametrize("head_dim", [48, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [AUTO, *OF_TORCH])
def test_attention_on_gpu_matches_float64(
    name: str, dtype: torch.dtype, head_dim: int, queries: int, keys: int
) -> None:
    choice, device = on_gpu(name, dtype, head_dim)
    inputs = random_input(queries, keys, 3, head_dim, device=device, dtype=dtype)
    ring = torch.cat([inputs[1], inputs[1]])  # keys are a view into a ring
    result = choice.attend(inputs[0], ring[:keys], inputs[2])
    limit = {torch.float32: 1e-3, torch.float16: 2e-3, torch.bfloat16: 6e-3}[dtype]
    assert relative_error(result, formula(*inputs)) < limit


@pytest.mark.gpu
@pytest.mark.parametrize("name", [AUTO, *OF_TORCH])
def test_attention_on_gpu_can_be_recorded(name: str) -> None:
    choice, device = on_gpu(name, BF16, 128)
    inputs = random_input(72, 144, 2, 128, device=device, dtype=BF16)
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    choice.attend(*inputs)
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=stream):
        result = choice.attend(*inputs)
    inputs[0].mul_(-1)
    graph.replay()
    torch.cuda.synchronize(device)
    assert choice.is_capturable and relative_error(result, formula(*inputs)) < 6e-3


@pytest.mark.gpu
@pytest.mark.parametrize("on_its_own_stream", [True, False])
def test_choose_on_gpu_finds_out_whether_a_graph_records_a_package(
    monkeypatch: pytest.MonkeyPatch, on_its_own_stream: bool
) -> None:
    """Releases of SageAttention launch their kernels on the default stream, whatever the current one is."""

    def sageattn_of(q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        stream = torch.cuda.default_stream(q.device) if on_its_own_stream else torch.cuda.current_stream(q.device)
        with torch.cuda.stream(stream):
            return sageattn(q, *args, **kwargs)

    install(monkeypatch, "sageattention", sageattn=sageattn_of)
    choice, _ = on_gpu("sage", BF16, 128)
    assert choice.is_capturable != on_its_own_stream
