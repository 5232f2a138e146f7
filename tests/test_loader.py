# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lingbot_core import checkpoints, model_files, preflight
from lingbot_core.decoder import StreamingDecoder
from lingbot_core.errors import ResourceError, WeightsError
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.loader import LoadedModel, ModelOptions, load_model, random_model
from lingbot_core.models.wan_vae import WanVAEConfig, WanVAEDecoder
from lingbot_core.random_weights import random_tensor
from lingbot_core.timeline import chunk_tokens, token_grid
from lingbot_core.variants import DIT_V1, LIGHT_TAE, UMT5, UMT5_TOKENIZER, VARIANTS, WAN_VAE, get_variant

FAST, LIGHT = get_variant("lingbot-world-fast"), get_variant("lingbot-world-fast-taehv-window15-sink3")
SHARD = "diffusion_pytorch_model-00001-of-00002.safetensors"


@pytest.fixture
def options(tiny_checkpoint: Path, tmp_path: Path) -> ModelOptions:
    return ModelOptions(device="cpu", checkpoint_root=tiny_checkpoint, cache_dir=tmp_path / "cache")


@pytest.fixture
def own_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def rewrite(path: Path, change) -> None:
    """Load a safetensors file, let ``change`` edit its dictionary, and save it."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def _decoder_of(model: LoadedModel) -> Any:
    """The decoder network behind the streaming one."""
    return model.decoder.module


def run_one_pass(model: LoadedModel, height: int = 32, width: int = 48) -> Tensor:
    """Output of the network for the first chunk."""
    config, tokens, grid = model.dit.config, chunk_tokens(height, width), token_grid(height, width)
    cache = SinkWindowKVCache(
        config.num_layers,
        config.num_heads,
        config.head_dim,
        tokens,
        model.window_chunks,
        model.sink_chunks,
        model.dtype,
        model.device,
    )
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(tokens, 144, generator=generator).to(model.device, model.dtype)
    camera = torch.randn(tokens, 1536, generator=generator).to(model.device, model.dtype)
    cache.begin_chunk(0)
    return model.dit(
        noise,
        model.dit.modulation(1000.0),
        model.dit.encode_camera(camera),
        model.dit.encode_text(model.text.encode(["a quiet street"])[0]),
        model.dit.rope(0, grid),
        cache.view(),
    )


@torch.inference_mode()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("slug", list(VARIANTS))
def test_load_model_when_tiny_checkpoint_runs_every_part(options: ModelOptions, slug: str, precision):
    model = load_model(get_variant(slug), replace(options, precision=precision))
    assert {parameter.dtype for parameter in model.dit.parameters()} == {model.dtype}
    flow = run_one_pass(model)
    assert flow.shape == (18, 64) and flow.isfinite().all() and flow.float().std() > 0.01
    latents, _ = model.build_image_encoder().encode(torch.zeros(1, 3, 32, 48, dtype=model.dtype), {})
    frames, _ = model.decoder.decode(latents.expand(3, -1, -1, -1), model.decoder.initial_state())
    assert frames.shape == (9, 32, 48, 3) and frames.dtype == torch.uint8
    model.text.release()


def test_load_model_when_loaded_twice_is_the_same(options: ModelOptions):
    with torch.inference_mode():
        first, second = (run_one_pass(load_model(LIGHT, options)) for _ in range(2))
    assert torch.equal(first, second)


def test_load_model_identity_depends_on_network_and_photo_encoder_not_on_decoder(options: ModelOptions):
    full, light, second = (load_model(get_variant(slug), options) for slug in list(VARIANTS)[:3])
    assert light.identity == full.identity != second.identity
    assert light.decoder.identity != full.decoder.identity == second.decoder.identity


def test_load_model_when_weights_are_streamed_holds_the_checkpoints_values(
    options: ModelOptions, tiny_checkpoint: Path
):
    model = load_model(FAST, options)
    views = model.dit.checkpoint_views()
    stored = load_file(tiny_checkpoint / DIT_V1.repo / SHARD)
    assert len(stored) > 30
    assert all(torch.equal(views[key].target.reshape(tensor.shape), tensor) for key, tensor in stored.items())


# --- wrong files ------------------------------------------------------------------------


def test_load_model_when_shard_is_truncated_names_file_and_tensor(options: ModelOptions, own_checkpoint: Path):
    shard = own_checkpoint / DIT_V1.repo / SHARD
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=rf"{SHARD} is truncated: the tensor blocks\.\d"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


def test_load_model_when_shard_is_misnamed_names_it_and_a_tensor(options: ModelOptions, own_checkpoint: Path):
    shard = own_checkpoint / DIT_V1.repo / SHARD
    shard.rename(shard.with_name("model-1.safetensors"))
    with pytest.raises(WeightsError, match=rf"{SHARD} .*missing.* the tensor patch_embedding"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


def test_load_model_when_tensor_is_misshaped_names_file_and_tensor(options: ModelOptions, own_checkpoint: Path):
    rewrite(
        own_checkpoint / DIT_V1.repo / SHARD,
        lambda tensors: tensors.update({"time_embedding.2.bias": torch.zeros(255)}),
    )
    with pytest.raises(WeightsError, match=r"index\.json: Tensor time_embedding\.2\.bias.*wrong shape"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


def test_load_model_when_tensor_is_unexpected_names_it(options: ModelOptions, own_checkpoint: Path):
    rewrite(own_checkpoint / DIT_V1.repo / SHARD, lambda tensors: tensors.update({"img_emb.weight": torch.zeros(2)}))
    with pytest.raises(WeightsError, match=r"img_emb\.weight"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


def test_load_model_when_tokenizer_is_damaged_says_so_before_the_network_is_read(
    options: ModelOptions, own_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    (own_checkpoint / UMT5_TOKENIZER.repo / UMT5_TOKENIZER.path).write_text("{}")
    monkeypatch.setattr("lingbot_core.checkpoints.stream_tensors", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(WeightsError, match=r"tokenizer\.json cannot be used"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


def test_load_model_when_pickle_holds_objects_refuses(options: ModelOptions, own_checkpoint: Path):
    torch.save({"encoder.conv1.weight": Path("x")}, own_checkpoint / WAN_VAE.repo / WAN_VAE.path)
    with pytest.raises(WeightsError, match="Python objects"):
        load_model(FAST, replace(options, checkpoint_root=own_checkpoint))


@pytest.mark.parametrize(
    ("option", "tensors", "message"),
    [
        ("vae_file", {"decoder.upsamples.0.upsamples.0.residual.2.weight": (4, 4)}, r"x\.safetensors: .*Wan 2\.2"),
        ("decoder_file", {"decoder.layers.1.conv.0.weight": (64, 64, 3, 3)}, r"x\.safetensors: .*TAESD"),
        ("text_file", {"text_model.embeddings.token_embedding.weight": (8, 8)}, r"x\.safetensors: .*CLIP"),
        ("dit_file", {"double_blocks.0.weight": (8, 8)}, r"x\.safetensors: Tensor patch_embedding\.weight is missing"),
    ],
)
def test_load_model_when_named_file_is_of_another_model_says_so(
    options: ModelOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, tensors: dict, message: str
):
    """And says so before anything heavy is read."""
    monkeypatch.setattr(checkpoints, "stream_tensors", lambda *args, **kwargs: pytest.fail("weights were read"))
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_model(LIGHT, replace(options, **{option: tmp_path / "x.safetensors"}))


def test_load_model_when_memory_is_short_stops_before_reading(options: ModelOptions, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoints, "stream_tensors", lambda *args, **kwargs: pytest.fail("weights were read"))
    monkeypatch.setattr(preflight, "free_memory", lambda device: 10 * 2**20)
    with pytest.raises(ResourceError, match=r"Not enough memory on cpu.*kv cache"):
        load_model(FAST, options)


def test_load_model_when_nothing_is_local_checks_memory_before_downloading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tests.test_hub import point_to

    point_to("http://127.0.0.1:9", tmp_path / "hub", monkeypatch)
    monkeypatch.setattr(preflight, "free_memory", lambda device: 40 * 2**30)
    options = ModelOptions(device="cpu", cache_dir=tmp_path / "cache")
    with pytest.raises(ResourceError, match=r"Not enough memory.*weights 69\.1"):
        load_model(FAST, options)
    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    with pytest.raises(ResourceError, match="cannot be reached"):
        load_model(FAST, options)


# --- where heads, tokenizer and decoder come from ----------------------------------------


def test_load_model_when_config_json_says_heads_takes_them(options: ModelOptions, own_checkpoint: Path):
    config = own_checkpoint / DIT_V1.repo / "config.json"
    options = replace(options, checkpoint_root=own_checkpoint)
    config.write_text(json.dumps({"num_heads": 4}))
    four = load_model(FAST, options)
    assert four.dit.config.num_heads == 4
    config.unlink()
    two = load_model(FAST, options)
    assert two.dit.config.num_heads == 2 and two.identity != four.identity
    config.write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json cannot be used"):
        load_model(FAST, options)


def test_load_model_when_decoder_file_is_narrower_uses_its_widths(options: ModelOptions, tmp_path: Path):
    """As LightVAE: other widths, same latents; only its decoder is used."""
    with torch.device("meta"):
        views = WanVAEDecoder(WanVAEConfig(base_dim=4)).checkpoint_views()
    generator = torch.Generator().manual_seed(0)
    tensors = {name: random_tensor(name, view.shape, generator) for name, view in views.items()}
    save_file(tensors, tmp_path / "lightvae.safetensors")
    plain, light = (
        load_model(FAST, replace(options, decoder_file=path)) for path in (None, tmp_path / "lightvae.safetensors")
    )
    assert _decoder_of(light).config.base_dim == 4 and light.build_image_encoder().config.base_dim == 8
    assert light.identity == plain.identity and light.decoder.identity != plain.decoder.identity


def test_load_model_when_tiny_decoder_is_the_original_one_feeds_normalised_latents(
    options: ModelOptions, tiny_checkpoint: Path, tmp_path: Path
):
    original = tmp_path / "taew2_1.pth"
    shutil.copy(tiny_checkpoint / LIGHT_TAE.repo / LIGHT_TAE.path, original)
    assert _decoder_of(load_model(LIGHT, options)).denormalize
    assert not _decoder_of(load_model(LIGHT, replace(options, decoder_file=original))).denormalize


def test_load_model_when_the_decoder_is_slow_previews_by_taehv_if_it_is_there(
    options: ModelOptions, own_checkpoint: Path, caplog: pytest.LogCaptureFixture
):
    assert load_model(LIGHT, options).previewer is None
    whole = load_model(FAST, options).previewer
    assert whole is not None and isinstance(whole.decoder, StreamingDecoder)
    assert torch.equal(
        next(whole.decoder.module.parameters()), next(load_model(LIGHT, options).decoder.module.parameters())
    )

    options = replace(options, checkpoint_root=own_checkpoint, allow_download=False)
    file = own_checkpoint / LIGHT_TAE.repo / LIGHT_TAE.path
    file.write_bytes(file.read_bytes()[:1000])
    with caplog.at_level("INFO"):
        damaged = load_model(FAST, options).previewer
    assert damaged is not None and damaged.decoder is None
    assert "Previews are coarse" in caplog.text
    file.unlink()
    missing = load_model(FAST, options).previewer
    assert missing is not None and missing.decoder is None


def test_load_model_when_text_file_is_named_takes_the_tokenizer_beside_it(
    options: ModelOptions, tiny_checkpoint: Path, tmp_path: Path
):
    folder = tmp_path / "encoders"
    shutil.copytree(tiny_checkpoint / UMT5_TOKENIZER.repo / "tokenizer", folder / "google" / "umt5-xxl")
    tensors: dict[str, Tensor] = {}
    for shard in sorted((tiny_checkpoint / UMT5.repo / "text_encoder").glob("*.safetensors")):
        tensors |= load_file(shard)
    save_file(tensors, folder / "my_umt5.safetensors")
    model = load_model(LIGHT, replace(options, text_file=folder / "my_umt5.safetensors"))
    with torch.inference_mode():
        assert torch.equal(model.text.encode(["x"]), load_model(LIGHT, options).text.encode(["x"]))


@pytest.mark.parametrize("is_installed", [False, True])
def test_wanted_weights_when_text_file_carries_its_tokenizer_need_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool
):
    """ComfyUI's file has the SentencePiece model inside; using it takes a package that may be missing."""
    from tests.test_hub import point_to

    point_to("http://127.0.0.1:9", tmp_path / "hub", monkeypatch)
    (tmp_path / "text_encoders").mkdir()
    tensors = {"shared.weight": torch.zeros(2, 2), "spiece_model": torch.zeros(3, dtype=torch.uint8)}
    save_file(tensors, tmp_path / "text_encoders" / "umt5_xxl_fp16.safetensors")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if is_installed else None)
    places = ModelOptions(model_dirs=(tmp_path,), cache_dir=tmp_path / "cache").places(FAST)
    assert ("tokenizer" in model_files.wanted_roles(FAST, places)) != is_installed


# --- random weights ---------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("variant", [FAST, LIGHT], ids=lambda variant: variant.decoder)
def test_random_model_when_tiny_runs_like_a_loaded_one(variant):
    model = random_model(variant, ModelOptions(device="cpu", precision="bf16"), size="tiny")
    assert run_one_pass(model).isfinite().all()
    frames, _ = model.decoder.decode(torch.zeros(3, 16, 4, 6), model.decoder.initial_state())
    assert frames.shape == (9, 32, 48, 3)
