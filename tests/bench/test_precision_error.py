# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors of a precision, measured on tiny networks on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lingbot_core.bench import precision_error
from lingbot_core.bench.precision_error import BlockError, PrecisionError
from lingbot_core.cli import main
from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.loader import LoadedModel
from lingbot_core.models.dit import LingBotDiT
from lingbot_core.random_weights import fill_random
from tests.bench.test_rollouts import TINY
from tests.tiny_engine import CONFIG, build_model

SIZE = (32, 48)


def build(fp8: bool = False, seed: int = 0) -> LoadedModel:
    """The tiny engine with a network of random weights; bf16 activations."""
    model = build_model(dtype=torch.bfloat16)
    dit = LingBotDiT(CONFIG, fp8=fp8)
    for name, parameter in dit.named_parameters():
        if not name.endswith("weight_scale") and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(torch.bfloat16)
    fill_random(dit.checkpoint_views(), seed)
    return replace(model, dit=dit, precision="fp8" if fp8 else "bf16", identity=f"random-{seed}")


def test_relative_l2_is_a_distance_in_parts_of_the_reference() -> None:
    assert precision_error.relative_l2(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0])) == pytest.approx(4 / 3)


def errors_of(block: BlockError) -> list[float]:
    """All errors of one block."""
    return [block.self_attn, block.cross_attn, block.ffn, block.camera]


def test_same_precision_has_no_error() -> None:
    found = precision_error.measure(build, build, SIZE, 2, lambda _: None)
    assert [block.layer for block in found.blocks] == list(range(CONFIG.num_layers))
    assert all(errors_of(block) == [0.0] * 4 for block in found.blocks)
    assert found.flow == 0 and found.latents == [0, 0]


def test_errors_of_8_bits_are_a_few_percent() -> None:
    found = precision_error.measure(build, lambda: build(fp8=True), SIZE, 3, lambda _: None)
    assert (found.precision, found.reference_precision) == ("fp8", "bf16")
    for block in found.blocks:  # rounding to 3 bits behind the first one costs 2.6 % of each factor
        assert all(0.01 < error < 0.15 for error in errors_of(block)), block
    assert 0.01 < found.flow < 0.5
    assert len(found.latents) == 3 and all(0.001 < error < 1 for error in found.latents)


def test_each_module_gets_the_inputs_of_the_other_precision() -> None:
    expected = precision_error.run_pass(build(), SIZE)
    assert len(expected.branches) == 3 * CONFIG.num_layers
    run = precision_error.run_pass(build(fp8=True), SIZE, expected.branches)
    for got, wanted in zip(run.branches, expected.branches, strict=True):
        tokens, *others = got.inputs
        assert isinstance(tokens, RowScaled)
        values, scale = tokens
        assert precision_error.relative_l2(values.float() * scale, wanted.inputs[0]) < 0.05
        assert all(torch.equal(*pair) for pair in zip(others, wanted.inputs[1:], strict=True))
    assert [len(branch.inputs) for branch in expected.branches[:3]] == [1, 3, 1]


def test_other_weights_are_seen() -> None:
    found = precision_error.measure(build, lambda: build(seed=1), SIZE, 1, lambda _: None)
    assert min(min(errors_of(block)) for block in found.blocks) > 0.3


@pytest.mark.parametrize("fp8", [False, True])
def test_cameras_become_weaker_by_exactly_the_factor(fp8: bool) -> None:
    model = build(fp8)
    before = precision_error.run_pass(model, SIZE).cameras
    precision_error.weaken_cameras(model)
    assert torch.equal(precision_error.run_pass(model, SIZE).cameras, before * precision_error.CAMERA_STRENGTH)


def test_table_has_a_line_per_block_and_per_chunk() -> None:
    blocks = [BlockError(layer, 0.02 * (layer + 1), 0.01, 0.03, 0.04) for layer in range(3)]
    text = precision_error.error_markdown(PrecisionError("fp8", "bf16", blocks, 0.05, [0.1, 0.25]))
    assert "| attention to the past | 2.00e-02 | 4.00e-02 | 6.00e-02 |" in text
    assert "| 2 | 6.0e-02 | 1.0e-02 | 3.0e-02 | 4.0e-02 |" in text
    assert "| 1 | 2.50e-01 |" in text
    assert "Flow of one pass on the same inputs: 5.00e-02." in text


def test_error_without_a_gpu_for_fp8_is_refused_before_a_model_is_built(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingbot_core.bench.random_model", lambda *_, **__: pytest.fail("a model is built"))
    assert main([*TINY, "--error"]) == 2
    assert "fp8 is not possible on cpu" in capsys.readouterr().err
