# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The UMT5 encoder against transformers' own loading and against the formulas in float64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingbot_core.models.umt5 import (
    UMT5EncoderConfig,
    assert_embedding_tied,
    build_umt5,
    checkpoint_views,
    encode_tokens,
    native_shapes,
)
from lingbot_core.weight_stream import materialize
from tests.tiny_umt5 import TINY, load_umt5, make_tiny_umt5, native_tensors

NUM_ROWS, NUM_TOKENS = 200, 170
"""Beyond 128 tokens, so that the last distance bucket occurs too."""


def make_tokens() -> tuple[Tensor, Tensor]:
    ids = torch.randint(3, TINY.vocab_size, (NUM_ROWS,), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(NUM_ROWS) < NUM_TOKENS).long()
    return ids * mask, mask


def reference_encoding(tensors: dict[str, Tensor], ids: Tensor) -> Tensor:
    """UMT5 from its formulas, float64, on tokens without padding: ``[S] -> [S, dim]``."""
    weights = {name: tensor.double() for name, tensor in tensors.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights[name]

    def bucket(distance: int) -> int:
        size, half = abs(distance), 16 if distance > 0 else 0
        if size < 8:
            return half + size
        return half + min(15, 8 + math.floor(math.log(size / 8) / math.log(128 / 8) * 8))

    positions = range(len(ids))
    buckets = torch.tensor([[bucket(key - query) for key in positions] for query in positions])
    x = weights["shared.weight"][ids]
    for layer in range(TINY.num_layers):
        attention, feed_forward = f"encoder.block.{layer}.layer.0.", f"encoder.block.{layer}.layer.1."
        y = norm(x, attention + "layer_norm.weight")
        q, k, v = (
            (y @ weights[f"{attention}SelfAttention.{part}.weight"].T).unflatten(-1, (TINY.num_heads, TINY.head_dim))
            for part in "qkv"
        )
        bias = weights[attention + "SelfAttention.relative_attention_bias.weight"][buckets]  # [S, S, N]
        scores = torch.einsum("qnd,knd->nqk", q, k) + bias.permute(2, 0, 1)
        y = torch.einsum("nqk,knd->qnd", scores.softmax(-1), v).flatten(1)
        x = x + y @ weights[attention + "SelfAttention.o.weight"].T
        y = norm(x, feed_forward + "layer_norm.weight")
        gate = torch.nn.functional.gelu(y @ weights[feed_forward + "DenseReluDense.wi_0.weight"].T, approximate="tanh")
        y = gate * (y @ weights[feed_forward + "DenseReluDense.wi_1.weight"].T)
        x = x + y @ weights[feed_forward + "DenseReluDense.wo.weight"].T
    return norm(x, "encoder.final_layer_norm.weight")


def test_native_shapes_of_umt5_xxl_are_those_of_the_published_file() -> None:
    shapes = native_shapes(UMT5EncoderConfig.umt5_xxl())
    assert len(shapes) == 242
    assert sum(math.prod(shape) for shape in shapes.values()) == 5_680_910_336


def test_checkpoint_views_of_a_model_on_meta_cover_the_native_shapes() -> None:
    with torch.device("meta"):
        model = build_umt5(TINY)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert {name: view.shape for name, view in checkpoint_views(model).items()} == native_shapes(TINY)


def test_built_model_when_given_memory_and_cast_keeps_one_embedding() -> None:
    with torch.device("meta"):
        model = build_umt5(TINY)
    materialize(model, torch.device("cpu"), torch.bfloat16)
    checkpoint_views(model)["shared.weight"].target.fill_(3)
    assert model.encoder.embed_tokens.weight.data_ptr() == model.shared.weight.data_ptr()
    assert (model.encoder.embed_tokens.weight == 3).all()


def test_model_with_a_second_embedding_is_refused() -> None:
    model = build_umt5(TINY)
    model.encoder.set_input_embeddings(torch.nn.Embedding(TINY.vocab_size, TINY.dim))
    for call in (assert_embedding_tied, checkpoint_views, lambda model: encode_tokens(model, *make_tokens())):
        with pytest.raises(AssertionError, match="embed_tokens"):
            call(model)


@torch.inference_mode()
def test_encoding_equals_the_formulas() -> None:
    model, (ids, mask) = make_tiny_umt5(), make_tokens()
    encoding = encode_tokens(model, ids, mask)
    expected = reference_encoding(native_tensors(model), ids[:NUM_TOKENS])
    torch.testing.assert_close(encoding[:NUM_TOKENS].double(), expected, atol=2e-5, rtol=0)


@torch.inference_mode()
def test_encoding_after_the_last_token_is_exact_zeros() -> None:
    encoding = encode_tokens(make_tiny_umt5(), *make_tokens())
    assert encoding.shape == (NUM_ROWS, TINY.dim)
    assert encoding[:NUM_TOKENS].abs().amin(-1).gt(0).all()
    assert encoding[NUM_TOKENS:].eq(0).all()


@torch.inference_mode()
def test_encoding_does_not_depend_on_what_padding_holds() -> None:
    model, (ids, mask) = make_tiny_umt5(), make_tokens()
    other = torch.where(mask == 0, 5, ids)
    assert torch.equal(encode_tokens(model, ids, mask), encode_tokens(model, other, mask))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@torch.inference_mode()
def test_encoding_of_a_transformers_checkpoint_equals_transformers_own(tmp_path: Path, dtype: torch.dtype) -> None:
    from transformers import UMT5EncoderModel

    make_tiny_umt5().save_pretrained(tmp_path, max_shard_size="20KB")
    ours = load_umt5(tmp_path / "model.safetensors.index.json", dtype)
    theirs = UMT5EncoderModel.from_pretrained(tmp_path).eval()
    torch.nn.Module.to(theirs, dtype)
    ids, mask = make_tokens()
    expected = theirs(input_ids=ids[None], attention_mask=mask[None]).last_hidden_state[0]
    encoding = encode_tokens(ours, ids, mask)
    assert encoding.dtype == dtype
    assert torch.equal(encoding[:NUM_TOKENS], expected[:NUM_TOKENS])
