# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the UMT5-XXL text encoder, told apart by their keys and shapes.

| layout | token embedding | seen in |
|---|---|---|
| Hugging Face | ``shared.weight`` | ``Wan-AI/*-Diffusers``, ``google/umt5-xxl`` |
| ComfyUI | the same, and the tokenizer as ``spiece_model`` | ``umt5_xxl_fp16.safetensors`` |
| ComfyUI fp8 scaled | the same, and one ``scale_weight`` per matrix | ``umt5_xxl_fp8_e4m3fn_scaled.safetensors`` |
| Wan | ``token_embedding.weight`` | ``models_t5_umt5-xxl-enc-bf16.pth``, Kijai's ``umt5-xxl-enc-*`` |

A ComfyUI bundle holds the encoder below ``text_encoders.umt5xxl.transformer.``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import Layout, Shapes, TensorSource
from lingbot_core.models.umt5 import TIED_EMBEDDING, TOKEN_EMBEDDING, UMT5EncoderConfig, native_shapes

UMT5_XXL_DIM = 4096
"""Width that LingBot-World reads."""

_BUNDLE_PREFIXES = ("text_encoders.umt5xxl.transformer.", "umt5xxl.transformer.")

_WAN_TOKEN_EMBEDDING = "token_embedding.weight"

_WAN_T5_BIAS = "pos_embedding.embedding.weight"
"""The one position bias that all layers of a T5 share, in Wan's names."""

_HF_TO_WAN = (
    (re.compile(r"^shared\."), "token_embedding."),
    (re.compile(r"^encoder\.final_layer_norm\."), "norm."),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.0\.layer_norm\."), r"blocks.\1.norm1."),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.1\.layer_norm\."), r"blocks.\1.norm2."),
    (
        re.compile(r"^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\."),
        r"blocks.\1.pos_embedding.embedding.",
    ),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.0\.SelfAttention\."), r"blocks.\1.attn."),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_0\."), r"blocks.\1.ffn.gate.0."),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wi_1\."), r"blocks.\1.ffn.fc1."),
    (re.compile(r"^encoder\.block\.(\d+)\.layer\.1\.DenseReluDense\.wo\."), r"blocks.\1.ffn.fc2."),
)

_SCALE_SUFFIXES = ("scale_weight", "weight_scale")
"""What replaces ``weight`` in the key of its scale: ComfyUI's first name, then the newer one."""

_UNUSED_NAMES = {TIED_EMBEDDING, "lm_head.weight", "scaled_fp8", "spiece_model"}
_UNUSED_SUFFIXES = (".scale_input", ".input_scale", ".comfy_quant", *(f".{suffix}" for suffix in _SCALE_SUFFIXES))
_UNUSED_PREFIXES = ("decoder.",)

_SIZE_NAMES = {512: "small", 768: "base", 1024: "large", 2048: "xl", UMT5_XXL_DIM: "xxl"}

_OTHER_MODELS = (
    ("text_model.embeddings.", "a CLIP text encoder"),
    ("enc.blk.", "a GGUF text encoder"),
    ("model.layers.", "a language model such as Qwen or Llama"),
    ("patch_embedding.", "a video network"),
    ("double_blocks.", "an image network"),
    ("encoder.downsamples.", "a video VAE"),
    ("encoder.down_blocks.", "a VAE"),
)
"""Part of a key that only this other model has, and what to call the model."""

_DO = (
    "Use umt5_xxl_fp16.safetensors, models_t5_umt5-xxl-enc-bf16.pth, or the text_encoder folder of a Wan 2.1 download."
)


def identify(shapes: Shapes, dim: int = UMT5_XXL_DIM) -> Layout[UMT5EncoderConfig]:
    """Recognise a UMT5 text encoder.

    Args:
        shapes: Shape by key, as in the file.
        dim: Width that the network needs (its ``text_dim``).

    Returns:
        The layout; native names are those of :func:`lingbot_core.models.umt5.native_shapes`.

    Raises:
        WeightsError: The file is of another model (named where known: T5, CLIP, ...), of
            another width, or a tensor is missing, misshaped or unexpected.
    """
    prefix = next((prefix for prefix in _BUNDLE_PREFIXES if any(key.startswith(prefix) for key in shapes)), "")
    own = {key[len(prefix) :]: tuple(shape) for key, shape in shapes.items() if key.startswith(prefix)}
    is_wan = _WAN_TOKEN_EMBEDDING in own
    if not is_wan and TOKEN_EMBEDDING not in own and TIED_EMBEDDING not in own:
        raise _another_model(shapes)
    file_key = _wan_key if is_wan else _hf_key(own)
    config = _read_config(own, file_key, dim)

    sources: dict[str, TensorSource] = {}
    used: set[str] = set()
    for name, shape in native_shapes(config).items():
        key = file_key(name)
        if key not in own:
            raise WeightsError(f"The text encoder lacks the tensor {prefix}{key}.", do=_DO)
        if own[key] != shape:
            raise _misshaped(prefix + key, own[key], str(list(shape)))
        scale_key = _find_scale(own, key, prefix)
        sources[name] = TensorSource(prefix + key, None if scale_key is None else prefix + scale_key)
        used.add(key)
    unexpected = next((key for key in own if key not in used and not _is_known_unused(key)), None)
    if unexpected is not None:
        raise WeightsError(f"The text encoder has the tensor {prefix}{unexpected}, which UMT5 has not.", do=_DO)
    is_scaled = any(source.scale_key is not None for source in sources.values())
    return Layout(_layout_name(own, is_wan, is_scaled) + (", in a bundle" if prefix else ""), config, sources)


def find_tokenizer_key(shapes: Shapes) -> str | None:
    """Key of the SentencePiece model that ComfyUI's files carry (uint8 ``[n]``); None when there is none."""
    return next((key for key in shapes if key.rpartition(".")[2] == "spiece_model"), None)


def _read_config(own: Shapes, file_key: Callable[[str], str], dim: int) -> UMT5EncoderConfig:
    """Sizes from the shapes of the embedding and of the first layer; refuses T5 and other widths."""

    def matrix(name: str) -> tuple[int, int]:
        key = file_key(name)
        if key not in own:
            raise WeightsError(f"The text encoder lacks the tensor {key}.", do=_DO)
        if len(own[key]) != 2 or 0 in own[key]:
            raise _misshaped(key, own[key], "two axes")
        return own[key][0], own[key][1]

    layer = "encoder.block.{}.layer."
    bias = layer + "0.SelfAttention.relative_attention_bias.weight"
    vocab_size, width = matrix(TOKEN_EMBEDDING)
    layer_indices = [int(match[1]) for key in own if (match := re.match(r"(?:encoder\.block|blocks)\.(\d+)\.", key))]
    num_layers = max(layer_indices, default=-1) + 1
    layers_with_bias = [index for index in range(num_layers) if file_key(bias.format(index)) in own]
    if num_layers > 1 and (layers_with_bias == [0] or _WAN_T5_BIAS in own):
        raise WeightsError(
            "This file holds a T5 text encoder, as Flux and SD3 use it, and not UMT5.",
            got=f"one position bias for all layers, vocabulary {vocab_size}",
            need=f"a position bias in each of the {num_layers} layers",
            do=_DO,
        )
    if width != dim:
        raise WeightsError(
            "This text encoder is of another size than the network needs.",
            got=f"{_size_name(width)}, width {width}",
            need=f"{_size_name(dim)}, width {dim}",
            do=_DO,
        )
    num_buckets, num_heads = matrix(bias.format(0))
    inner, _ = matrix(layer.format(0) + "0.SelfAttention.q.weight")
    ffn_dim, _ = matrix(layer.format(0) + "1.DenseReluDense.wi_0.weight")
    if inner % num_heads:
        key = file_key(layer.format(0) + "0.SelfAttention.q.weight")
        raise _misshaped(key, own[key], f"a multiple of {num_heads} heads as the number of rows")
    return UMT5EncoderConfig(vocab_size, dim, ffn_dim, num_heads, inner // num_heads, num_layers, num_buckets)


def _wan_key(name: str) -> str:
    for pattern, replacement in _HF_TO_WAN:
        renamed, count = pattern.subn(replacement, name)
        if count:
            return renamed
    raise AssertionError(f"no Wan name for {name}")


def _hf_key(own: Shapes) -> Callable[[str], str]:
    """Names as they are, but for a token embedding that is only there under its second name."""
    embedding = TOKEN_EMBEDDING if TOKEN_EMBEDDING in own else TIED_EMBEDDING
    return lambda name: embedding if name == TOKEN_EMBEDDING else name


def _find_scale(own: Shapes, key: str, prefix: str) -> str | None:
    """Key of the scale of a tensor: one number, or one per row as ``[rows, 1]``."""
    stem = key.removesuffix("weight")
    scale_key = next((stem + suffix for suffix in _SCALE_SUFFIXES if stem + suffix in own), None)
    if scale_key is not None and own[scale_key] not in ((), (1,), (1, 1), (own[key][0], 1)):
        raise _misshaped(prefix + scale_key, own[scale_key], f"one number, or [{own[key][0]}, 1]")
    return scale_key


def _is_known_unused(key: str) -> bool:
    return key in _UNUSED_NAMES or key.endswith(_UNUSED_SUFFIXES) or key.startswith(_UNUSED_PREFIXES)


def _layout_name(own: Shapes, is_wan: bool, is_scaled: bool) -> str:
    if is_wan:
        return "Wan scaled" if is_scaled else "Wan"
    if is_scaled:
        return "ComfyUI fp8 scaled"
    return "ComfyUI" if "spiece_model" in own else "Hugging Face"


def _size_name(dim: int) -> str:
    return f"UMT5-{_SIZE_NAMES[dim]}" if dim in _SIZE_NAMES else "an unknown size"


def _misshaped(key: str, shape: tuple[int, ...], need: str) -> WeightsError:
    return WeightsError(
        f"The tensor {key} of the text encoder has the wrong shape.", got=str(list(shape)), need=need, do=_DO
    )


def _another_model(shapes: Shapes) -> WeightsError:
    what = next((name for part, name in _OTHER_MODELS if any(part in key for key in shapes)), None)
    if what is not None:
        return WeightsError(f"This file holds {what}, not the UMT5-XXL text encoder.", do=_DO)
    first_keys = ", ".join(list(shapes)[:3]) or "no tensors"
    return WeightsError("This file does not hold the UMT5-XXL text encoder.", got=first_keys, do=_DO)
