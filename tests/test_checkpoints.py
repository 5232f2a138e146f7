# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The network in bf16 and in 8 bits, from its original and from our copies."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingbot_core import convert, preflight
from lingbot_core.errors import LingBotError, WeightsError
from lingbot_core.kernels.fp8 import fp8_failure, quantise_rows
from lingbot_core.loader import LoadedModel, ModelOptions, load_model, random_model
from lingbot_core.variants import DIT_V1, get_variant
from tests.test_loader import run_one_pass

FAST, LIGHT = get_variant("lingbot-world-fast"), get_variant("lingbot-world-fast-taehv-window15-sink3")


@pytest.fixture
def options(tiny_checkpoint: Path, tmp_path: Path) -> ModelOptions:
    return ModelOptions(device="cpu", checkpoint_root=tiny_checkpoint, cache_dir=tmp_path / "cache")


@pytest.fixture
def own_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may change."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


# --- the bf16 copy ----------------------------------------------------------------------


def test_load_model_when_loaded_in_bf16_keeps_a_copy_that_gives_the_same_model(
    options: ModelOptions, own_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(convert, "MIN_BYTES", 1)
    (own_checkpoint / DIT_V1.repo / "config.json").write_text(json.dumps({"num_heads": 4}))
    options = replace(options, precision="bf16", checkpoint_root=own_checkpoint)
    first = load_model(FAST, options)
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    assert copy.parent.name == convert.LOCAL

    said: list[str] = []
    second = load_model(FAST, options, said.append)
    assert any(str(copy.parent) in line for line in said)
    assert second.identity == first.identity and second.dit.config == first.dit.config
    pairs = zip(first.dit.parameters(), second.dit.parameters(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)

    full = load_model(FAST, replace(options, precision="fp32"), said.append)
    assert next(full.dit.parameters()).dtype == torch.float32 and str(copy.parent) not in said[-1]


def test_load_model_when_small_or_in_fp32_keeps_no_copy(
    options: ModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    load_model(FAST, replace(options, precision="bf16"))
    monkeypatch.setattr(convert, "MIN_BYTES", 1)
    load_model(FAST, replace(options, precision="fp32"))
    assert not (tmp_path / "cache").exists()


def test_load_model_when_original_is_gone_runs_from_the_copy_in_bf16_only(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Found in the hub's cache, copied, original deleted: the same model, without a network."""
    from tests.fake_hub import serve
    from tests.test_hub import point_to

    monkeypatch.setattr(convert, "MIN_BYTES", 1)
    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    options = ModelOptions(device="cpu", precision="bf16", cache_dir=tmp_path / "cache")
    with serve(tiny_checkpoint) as server:
        point_to(server.endpoint, tmp_path / "hub", monkeypatch)
        first = load_model(LIGHT, options)
    shutil.rmtree(tmp_path / "hub" / ("models--" + DIT_V1.repo.replace("/", "--")))
    second = load_model(LIGHT, options)
    assert second.identity == first.identity
    pairs = zip(first.dit.parameters(), second.dit.parameters(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)
    with pytest.raises(LingBotError, match="cannot be reached|could not be|hub"):
        load_model(LIGHT, replace(options, precision="fp32"))


# --- 8 bits -----------------------------------------------------------------------------


@pytest.fixture
def fp8_options(options: ModelOptions, monkeypatch: pytest.MonkeyPatch) -> ModelOptions:
    """Precision fp8, let through on the CPU, where it is emulated; copies of any size are kept."""
    monkeypatch.setattr("lingbot_core.options.fp8_failure", lambda device: None)
    monkeypatch.setattr(convert, "MIN_BYTES", 1)
    return replace(options, precision="fp8")


def equal_bits(first: LoadedModel, second: LoadedModel) -> bool:
    """Whether two networks hold the same bits."""
    ours, theirs = dict(first.dit.named_parameters()), dict(second.dit.named_parameters())
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name].view(torch.uint8), theirs[name].view(torch.uint8)) for name in ours)


@torch.inference_mode()
def test_load_model_in_fp8_holds_the_bf16_weights_quantised(fp8_options: ModelOptions):
    model, exact = load_model(FAST, fp8_options), load_model(FAST, replace(fp8_options, precision="bf16"))
    assert (model.precision, model.dtype, model.identity) == ("fp8", torch.bfloat16, exact.identity)
    views, sources = model.dit.checkpoint_views(), exact.dit.checkpoint_views()
    assert views.keys() == sources.keys()
    num_quantised = 0
    for name, view in views.items():
        if view.scale is None:
            assert torch.equal(view.target, sources[name].target), name
            continue
        values, scale = quantise_rows(sources[name].target)
        assert torch.equal(view.target.float(), values.float()) and torch.equal(view.scale, scale), name
        num_quantised += 1
    assert num_quantised == 14 * model.dit.config.num_layers
    in_8_bits = {name for name, parameter in model.dit.named_parameters() if parameter.dtype == torch.float8_e4m3fn}
    matrices = {name for name, parameter in exact.dit.named_parameters() if "blocks" in name and parameter.ndim == 2}
    assert in_8_bits == {name for name in matrices if "modulation" not in name}
    flow, expected = run_one_pass(model).float(), run_one_pass(exact).float()
    assert 1e-4 < float((flow - expected).norm() / expected.norm()) < 0.1


def test_load_model_in_fp8_keeps_a_copy_that_gives_the_same_bits_from_any_source(
    fp8_options: ModelOptions, tmp_path: Path
):
    """From the fp32 original, its bf16 copy, a bf16 file, and the fp8 copy itself."""
    cache = tmp_path / "cache"
    first = load_model(FAST, fp8_options)
    (copy,) = cache.rglob("*.safetensors")
    assert copy.parent.parent.name == "fp8"

    said: list[str] = []
    assert equal_bits(load_model(FAST, fp8_options, said.append), first)
    assert any(str(copy.parent) in line for line in said)
    original = copy.read_bytes()

    copy.unlink()
    load_model(FAST, replace(fp8_options, precision="bf16"))
    (bf16_copy,) = cache.rglob("*.safetensors")
    from_bf16 = load_model(FAST, fp8_options, said.append)
    assert any(str(bf16_copy.parent) in line for line in said)
    assert equal_bits(from_bf16, first) and from_bf16.identity == first.identity
    assert copy.read_bytes() == original

    shutil.copy(bf16_copy, tmp_path / "lingbot-world-fast-bf16.safetensors")
    shutil.rmtree(cache)
    named = replace(fp8_options, dit_file=tmp_path / "lingbot-world-fast-bf16.safetensors")
    assert equal_bits(load_model(FAST, named), first)
    assert len(list(cache.rglob("*.safetensors"))) == 1


def test_load_model_in_fp8_when_the_copy_is_damaged_makes_it_again(
    fp8_options: ModelOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first = load_model(FAST, fp8_options)
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-5])
    assert equal_bits(load_model(FAST, fp8_options), first)
    assert "Deleting the damaged fp8 copy" in caplog.text and copy.read_bytes() == whole


def test_load_model_when_the_original_is_gone_runs_from_the_fp8_copy_in_fp8_only(
    fp8_options: ModelOptions, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tests.fake_hub import serve
    from tests.test_hub import point_to

    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    options = replace(fp8_options, checkpoint_root=None)
    with serve(tiny_checkpoint) as server:
        point_to(server.endpoint, tmp_path / "hub", monkeypatch)
        first = load_model(LIGHT, options)
    shutil.rmtree(tmp_path / "hub" / ("models--" + DIT_V1.repo.replace("/", "--")))
    second = load_model(LIGHT, options)
    assert second.identity == first.identity and equal_bits(second, first)
    with pytest.raises(LingBotError, match="cannot be reached|could not be|hub"):
        load_model(LIGHT, replace(options, precision="bf16"))


def test_load_model_when_a_named_file_is_in_8_bits_and_the_run_is_not_says_so(
    fp8_options: ModelOptions, tmp_path: Path
):
    load_model(FAST, fp8_options)
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    assert load_model(FAST, replace(fp8_options, dit_file=copy)).precision == "fp8"
    with pytest.raises(WeightsError, match=r"network in 8 bits.*for precision bf16.*Choose precision fp8"):
        load_model(FAST, replace(fp8_options, dit_file=copy, precision="bf16"))


def test_random_model_in_fp8_holds_the_bf16_models_values_quantised(fp8_options: ModelOptions):
    model = random_model(LIGHT, fp8_options, size="tiny")
    exact = random_model(LIGHT, replace(fp8_options, precision="bf16"), size="tiny")
    sources = exact.dit.checkpoint_views()
    for name, view in model.dit.checkpoint_views().items():
        expected = sources[name].target
        if view.scale is None:
            assert torch.equal(view.target, expected), name
        else:
            assert torch.equal(view.target.float(), quantise_rows(expected).values.float()), name
    assert model.memory.estimate().weights == sum(parameter.nbytes for parameter in model.dit.parameters())
    assert exact.memory.estimate().weights == sum(parameter.nbytes for parameter in exact.dit.parameters())


@pytest.mark.gpu
@torch.inference_mode()
def test_load_model_in_fp8_on_gpu_agrees_with_bf16_and_the_copy_with_the_cpus(
    options: ModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    device = torch.device("cuda", torch.cuda.current_device())
    failure = fp8_failure(device)
    if failure is not None:
        pytest.skip(f"no fp8 on this GPU: {failure}")
    monkeypatch.setattr(convert, "MIN_BYTES", 1)
    flows, copies = {}, {}
    for name, precision in (("cuda", "bf16"), ("cuda", "fp8"), ("cpu", "fp8")):
        monkeypatch.setattr("lingbot_core.options.fp8_failure", lambda device: None)
        cache = tmp_path / f"{name}-{precision}"
        model = load_model(LIGHT, replace(options, device=name, precision=precision, cache_dir=cache))
        flows[name, precision] = run_one_pass(model).float().cpu()
        (copies[name, precision],) = cache.rglob("*.safetensors")
    assert copies["cuda", "fp8"].read_bytes() == copies["cpu", "fp8"].read_bytes()
    flow, exact, emulated = flows["cuda", "fp8"], flows["cuda", "bf16"], flows["cpu", "fp8"]
    cost = float((flow - exact).norm() / exact.norm())
    assert 0.01 < cost < 0.1
    assert float((flow - emulated).norm() / exact.norm()) < 0.7 * cost, "not the same rounding on GPU and CPU"
