# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Every published layout of UMT5-XXL, in small, and files that are something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.umt5 import find_tokenizer_key, identify
from lingbot_core.models.umt5 import UMT5EncoderConfig, encode_tokens, native_shapes
from tests.tiny_umt5 import TINY, load_umt5, make_tiny_umt5, native_tensors

WAN_LAYER_NAMES = {
    "norm1.weight": "layer.0.layer_norm.weight",
    "attn.q.weight": "layer.0.SelfAttention.q.weight",
    "attn.k.weight": "layer.0.SelfAttention.k.weight",
    "attn.v.weight": "layer.0.SelfAttention.v.weight",
    "attn.o.weight": "layer.0.SelfAttention.o.weight",
    "pos_embedding.embedding.weight": "layer.0.SelfAttention.relative_attention_bias.weight",
    "norm2.weight": "layer.1.layer_norm.weight",
    "ffn.gate.0.weight": "layer.1.DenseReluDense.wi_0.weight",
    "ffn.fc1.weight": "layer.1.DenseReluDense.wi_1.weight",
    "ffn.fc2.weight": "layer.1.DenseReluDense.wo.weight",
}
BIAS_OF_LAYER = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
BUNDLE = "text_encoders.umt5xxl.transformer."


def wan_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {
        f"blocks.{layer}.{wan}": tensors[f"encoder.block.{layer}.{native}"]
        for layer in range(TINY.num_layers)
        for wan, native in WAN_LAYER_NAMES.items()
    }
    renamed["token_embedding.weight"] = tensors["shared.weight"]
    renamed["norm.weight"] = tensors["encoder.final_layer_norm.weight"]
    assert len(renamed) == len(tensors)
    return renamed


def fp8_scaled_tensors(tensors: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
    """As ComfyUI's fp8 files: projections in fp8 with one scale each, the rest in fp16."""
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        is_projection = ".SelfAttention." in name or ".DenseReluDense." in name
        if not is_projection or "relative_attention_bias" in name:
            stored[name] = tensor.half()
            continue
        scale = tensor.abs().max() / 448
        stem = name.removesuffix("weight")
        stored |= {name: (tensor / scale).to(torch.float8_e4m3fn), stem + suffix: scale}
        stored[stem + "scale_input"] = torch.tensor(1.0)
    return stored


def dequantised(tensors: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
    """What an fp8 file stands for, in float32."""
    scales = {name.removesuffix(suffix) + "weight": scale for name, scale in tensors.items() if name.endswith(suffix)}
    return {name: tensors[name].float() * scales.get(name, torch.tensor(1.0)) for name in native_shapes(TINY)}


def changed_shapes(**changes: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    """A Hugging Face file with tensors added or misshaped, or left out where None."""
    shapes = native_shapes(TINY) | {key: shape for key, shape in changes.items() if shape is not None}
    return {key: shape for key, shape in shapes.items() if changes.get(key, ()) is not None}


def assert_loads_as(path: Path, expected: dict[str, Tensor]) -> None:
    loaded = native_tensors(load_umt5(path))
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(loaded[name], tensor.float()), name


def test_identify_reads_all_sizes_from_the_shapes() -> None:
    config = UMT5EncoderConfig.umt5_xxl()
    layout = identify(native_shapes(config))
    assert layout.config == config
    assert layout.name == "Hugging Face"
    assert all(source.key == name and source.scale_key is None for name, source in layout.sources.items())


def test_wan_pickle_loads_bit_for_bit(tmp_path: Path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in native_tensors(make_tiny_umt5()).items()}
    path = tmp_path / "models_t5_umt5-xxl-enc-bf16.pth"
    torch.save(wan_tensors(tensors), path)
    assert identify({key: tuple(t.shape) for key, t in wan_tensors(tensors).items()}, TINY.dim).name == "Wan"
    assert_loads_as(path, tensors)


def test_comfyui_fp16_file_loads_bit_for_bit_and_yields_its_tokenizer(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in native_tensors(make_tiny_umt5()).items()}
    stored = tensors | {"spiece_model": torch.zeros(10, dtype=torch.uint8)}
    save_file(stored, tmp_path / "umt5_xxl_fp16.safetensors")
    shapes = {key: tuple(tensor.shape) for key, tensor in stored.items()}
    assert identify(shapes, TINY.dim).name == "ComfyUI"
    assert find_tokenizer_key(shapes) == "spiece_model"
    assert_loads_as(tmp_path / "umt5_xxl_fp16.safetensors", tensors)


@pytest.mark.parametrize("suffix", ["scale_weight", "weight_scale"])
@torch.inference_mode()
def test_comfyui_fp8_scaled_file_loads_with_its_scales_applied(tmp_path: Path, suffix: str) -> None:
    model = make_tiny_umt5()
    stored = fp8_scaled_tensors(native_tensors(model), suffix)
    path = tmp_path / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
    save_file(stored | {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
    assert identify({key: tuple(t.shape) for key, t in stored.items()}, TINY.dim).name == "ComfyUI fp8 scaled"
    assert_loads_as(path, dequantised(stored, suffix))
    ids, mask = torch.arange(3, 43), torch.ones(40, dtype=torch.long)
    exact, rounded = encode_tokens(model, ids, mask), encode_tokens(load_umt5(path), ids, mask)
    assert 1e-4 < (rounded - exact).norm() / exact.norm() < 0.1


def test_comfyui_bundle_loads_the_encoder_below_its_prefix(tmp_path: Path) -> None:
    tensors = native_tensors(make_tiny_umt5())
    stored = {BUNDLE + name: tensor for name, tensor in tensors.items()}
    stored |= {"vae.conv1.weight": torch.zeros(2), "text_encoders.spiece_model": torch.zeros(4, dtype=torch.uint8)}
    save_file(stored, tmp_path / "bundle.safetensors")
    shapes = {key: tuple(tensor.shape) for key, tensor in stored.items()}
    assert identify(shapes, TINY.dim).name == "Hugging Face, in a bundle"
    assert find_tokenizer_key(shapes) == "text_encoders.spiece_model"
    assert_loads_as(tmp_path / "bundle.safetensors", tensors)


def test_identify_when_the_embedding_has_only_its_second_name_uses_it() -> None:
    shapes = changed_shapes()
    shapes["encoder.embed_tokens.weight"] = shapes.pop("shared.weight")
    assert identify(shapes, TINY.dim).sources["shared.weight"].key == "encoder.embed_tokens.weight"


def test_identify_of_a_whole_umt5_ignores_its_decoder() -> None:
    extra = {"decoder.block.0.layer.0.layer_norm.weight": (TINY.dim,), "lm_head.weight": (TINY.vocab_size, TINY.dim)}
    extra["encoder.embed_tokens.weight"] = (TINY.vocab_size, TINY.dim)
    assert identify(native_shapes(TINY) | extra, TINY.dim).sources.keys() == native_shapes(TINY).keys()


def test_identify_of_row_scales_accepts_columns_and_refuses_vectors() -> None:
    key = "encoder.block.1.layer.0.SelfAttention.q."
    rows = TINY.num_heads * TINY.head_dim
    layout = identify(changed_shapes(**{key + "weight_scale": (rows, 1)}), TINY.dim)
    assert layout.sources[key + "weight"].scale_key == key + "weight_scale"
    with pytest.raises(WeightsError, match=r"q\.weight_scale .* wrong shape.*\[24\]"):
        identify(changed_shapes(**{key + "weight_scale": (rows,)}), TINY.dim)


@pytest.mark.parametrize("is_wan", [False, True], ids=["hugging_face", "wan"])
def test_identify_of_t5_names_it(is_wan: bool) -> None:
    shapes = changed_shapes(**{BIAS_OF_LAYER.format(layer): None for layer in range(1, TINY.num_layers)})
    if is_wan:
        shapes = {key: tuple(t.shape) for key, t in wan_tensors(native_tensors(make_tiny_umt5())).items()}
        shapes = {key: shape for key, shape in shapes.items() if "pos_embedding" not in key}
        shapes["pos_embedding.embedding.weight"] = (32, TINY.num_heads)
    with pytest.raises(WeightsError, match="T5 text encoder, as Flux and SD3 use it, and not UMT5"):
        identify(shapes, TINY.dim)


def test_identify_of_another_width_names_both_sizes() -> None:
    small = UMT5EncoderConfig(vocab_size=256384, dim=512, ffn_dim=1024, num_heads=6, head_dim=64, num_layers=8)
    with pytest.raises(WeightsError, match=r"UMT5-small, width 512.*UMT5-xxl, width 4096"):
        identify(native_shapes(small))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("text_model.embeddings.token_embedding.weight", "a CLIP text encoder"),
        ("enc.blk.0.attn_q.weight", "a GGUF text encoder"),
        ("model.layers.0.mlp.up_proj.weight", "a language model"),
        ("patch_embedding.weight", "a video network"),
        ("encoder.downsamples.0.residual.0.gamma", "a video VAE"),
    ],
)
def test_identify_of_another_model_names_it(key: str, name: str) -> None:
    with pytest.raises(WeightsError, match=f"holds {name}"):
        identify({key: (4, 4)})


@pytest.mark.parametrize("shapes", [{}, {"something.else": (3,)}], ids=["empty", "unknown"])
def test_identify_of_anything_else_says_what_to_use(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(WeightsError, match=r"does not hold the UMT5-XXL.*umt5_xxl_fp16"):
        identify(shapes)


def test_identify_when_a_tensor_is_missing_names_it() -> None:
    key = "encoder.block.1.layer.1.DenseReluDense.wo.weight"
    with pytest.raises(WeightsError, match=f"lacks the tensor {key}"):
        identify(changed_shapes(**{key: None}), TINY.dim)
    with pytest.raises(WeightsError, match=f"lacks the tensor {BIAS_OF_LAYER.format(0)}"):
        identify(changed_shapes(**{BIAS_OF_LAYER.format(0): None}), TINY.dim)


def test_identify_when_a_tensor_is_misshaped_names_both_shapes() -> None:
    key = "encoder.block.2.layer.1.layer_norm.weight"
    with pytest.raises(WeightsError, match=rf"{key} .* wrong shape.*\[47\].*\[48\]"):
        identify(changed_shapes(**{key: (47,)}), TINY.dim)
    with pytest.raises(WeightsError, match="multiple of 3 heads"):
        identify(changed_shapes(**{"encoder.block.0.layer.0.SelfAttention.q.weight": (25, TINY.dim)}), TINY.dim)
    with pytest.raises(WeightsError, match="two axes"):
        identify(changed_shapes(**{"shared.weight": (48,)}), TINY.dim)


def test_identify_when_a_tensor_is_unexpected_names_it() -> None:
    key = "encoder.block.0.layer.0.SelfAttention.q.weight_scale_2"
    with pytest.raises(WeightsError, match=f"{key}, which UMT5 has not"):
        identify(changed_shapes(**{key: (1,)}), TINY.dim)
