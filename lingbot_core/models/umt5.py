# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The UMT5 text encoder: sizes, construction and checkpoint names.

The network itself is transformers' ``UMT5EncoderModel``. Its parameter names, those of
the Hugging Face checkpoints, are the native ones here. What tells UMT5 from T5: every
layer has a relative position bias of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lingbot_core.layouts.base import CheckpointView

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

TOKEN_EMBEDDING = "shared.weight"
"""Name of the token embedding, ``[vocab_size, dim]``."""

TIED_EMBEDDING = "encoder.embed_tokens.weight"
"""Second name of the token embedding; some files hold it under both names."""

MAX_DISTANCE_TOKENS = 128
"""Distance from which on all relative positions share the last bucket."""

EPSILON = 1e-6
"""Added to the variance in the RMS norms."""


@dataclass(frozen=True)
class UMT5EncoderConfig:
    """Sizes of an encoder."""

    vocab_size: int
    """Rows of the token embedding; a multiple of 128 in the published file, above the tokenizer's size."""

    dim: int
    """Width of a token; 4096 is what LingBot-World reads."""

    ffn_dim: int
    """Width inside the gated feed-forward."""

    num_heads: int
    """Attention heads."""

    head_dim: int
    """Width of a head; heads times this need not be ``dim``."""

    num_layers: int
    """Blocks."""

    num_buckets: int = 32
    """Relative-position buckets, half of them for either direction."""

    @classmethod
    def umt5_xxl(cls) -> UMT5EncoderConfig:
        """The published encoder: 5,680,910,336 parameters in 242 tensors."""
        return cls(vocab_size=256384, dim=4096, ffn_dim=10240, num_heads=64, head_dim=64, num_layers=24)


def native_shapes(config: UMT5EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every checkpoint tensor by native name: 10 per layer and 2 more, no biases."""
    dim, inner = config.dim, config.num_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {TOKEN_EMBEDDING: (config.vocab_size, dim)}
    for layer in range(config.num_layers):
        attention = f"encoder.block.{layer}.layer.0"
        feed_forward = f"encoder.block.{layer}.layer.1"
        shapes |= {
            f"{attention}.layer_norm.weight": (dim,),
            f"{attention}.SelfAttention.q.weight": (inner, dim),
            f"{attention}.SelfAttention.k.weight": (inner, dim),
            f"{attention}.SelfAttention.v.weight": (inner, dim),
            f"{attention}.SelfAttention.o.weight": (dim, inner),
            f"{attention}.SelfAttention.relative_attention_bias.weight": (config.num_buckets, config.num_heads),
            f"{feed_forward}.layer_norm.weight": (dim,),
            f"{feed_forward}.DenseReluDense.wi_0.weight": (config.ffn_dim, dim),
            f"{feed_forward}.DenseReluDense.wi_1.weight": (config.ffn_dim, dim),
            f"{feed_forward}.DenseReluDense.wo.weight": (dim, config.ffn_dim),
        }
    shapes["encoder.final_layer_norm.weight"] = (dim,)
    return shapes


def build_umt5(config: UMT5EncoderConfig) -> UMT5EncoderModel:
    """Make an encoder for inference.

    Build it under ``torch.device("meta")`` to allocate nothing. The token embedding is one
    module under two names, so the two cannot come apart when the model is moved or cast
    (early transformers 5 left the second one uninitialised).

    Args:
        config: Sizes.

    Returns:
        The encoder in eval mode, without gradients, weights as transformers initialises them.
    """
    from transformers import UMT5Config, UMT5EncoderModel

    model = UMT5EncoderModel(
        UMT5Config(
            vocab_size=config.vocab_size,
            d_model=config.dim,
            d_kv=config.head_dim,
            d_ff=config.ffn_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=MAX_DISTANCE_TOKENS,
            layer_norm_epsilon=EPSILON,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )
    model.set_input_embeddings(model.shared)
    model.eval().requires_grad_(False)
    return model


def assert_embedding_tied(model: UMT5EncoderModel) -> None:
    """Stop when the encoder would read another embedding than the one that was loaded."""
    used, loaded = model.encoder.embed_tokens.weight, model.shared.weight
    assert used is loaded, f"embed_tokens {tuple(used.shape)} is not shared.weight {tuple(loaded.shape)}"


def checkpoint_views(model: UMT5EncoderModel) -> dict[str, CheckpointView]:
    """Where each checkpoint tensor goes, by native name.

    Take the views after the model got memory: they point into its parameters.
    """
    assert_embedding_tied(model)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters() if name != TIED_EMBEDDING}
    return {name: CheckpointView(tuple(target.shape), target) for name, target in parameters.items()}


def encode_tokens(model: UMT5EncoderModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Run the encoder on one prompt, padded on the right.

    Args:
        model: The encoder.
        ids: Token ids, ``[S]``, int64, on the model's device.
        mask: 1 for tokens, 0 for padding, ``[S]``, int64; padding keys are not attended to.

    Returns:
        ``[S, dim]`` in the model's dtype; exact zeros in the rows of padding, as
        LingBot-World was trained with.
    """
    assert_embedding_tied(model)
    hidden = model(input_ids=ids[None], attention_mask=mask[None]).last_hidden_state[0]  # [S, dim]
    return torch.where(mask[:, None] != 0, hidden, 0.0)
