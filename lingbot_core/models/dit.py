# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The LingBot-World diffusion transformer: a Wan 2.1 network with camera control and a KV cache.

One pass takes the tokens of a chunk (noisy latents, mask and photo latents) and gives the flow
of its latents. What does not change between the five passes of a chunk is computed once, and
handed to each pass: text keys and values, camera modulation, rotary angles.

There is no batch axis. Formulas and names follow the published checkpoint (robbyant/lingbot-world-fast);
parameters are laid out for speed, and :meth:`LingBotDiT.checkpoint_views` says what goes where.

L tokens of a chunk, N heads, D head dim, C network width (= N * D).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_core.kernels.attention import AUTO, attention, exact_name
from lingbot_core.kernels.norms import layer_norm_modulate, rms_norm
from lingbot_core.kernels.residual import affine, gated_residual
from lingbot_core.kernels.rope import rope_angles, rotate
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.layouts.base import CheckpointView, scale_name
from lingbot_core.models.linear import Fp8Linear, linear_into
from lingbot_core.timeline import PATCH_SIZE, latent_frame_indices

PATCH_CELLS = PATCH_SIZE**2
"""Latent cells per token."""

_FUSED = {
    "self_attn.qkv": ("self_attn.q", "self_attn.k", "self_attn.v"),
    "cross_attn.kv": ("cross_attn.k", "cross_attn.v"),
    "cam_scale_shift_layer": ("cam_scale_layer", "cam_shift_layer"),
}
"""Our projection in a block -> the checkpoint's projections that it stacks."""


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of the network."""

    dim: int
    """Width of the residual stream, C."""

    ffn_dim: int
    """Hidden width of the feed-forward layers."""

    num_heads: int
    """N; divides ``dim``."""

    num_layers: int
    """Blocks."""

    text_dim: int = 4096
    """Width of the text encoder."""

    text_len: int = 512
    """Text tokens, padding included: padding is attended to."""

    freq_dim: int = 256
    """Sines and cosines that encode the timestep."""

    in_channels: int = 36
    """Latent channels in: 16 noisy, 4 mask, 16 of the photo."""

    out_channels: int = 16
    """Latent channels out."""

    camera_channels: int = 384
    """Ray map channels per latent cell: 6 of 8x8 pixels."""

    eps: float = 1e-6
    """Of every norm."""

    def __post_init__(self) -> None:
        assert self.dim % self.num_heads == 0 and self.head_dim % 2 == 0, (self.dim, self.num_heads)

    @property
    def head_dim(self) -> int:
        """D."""
        return self.dim // self.num_heads

    @classmethod
    def lingbot_14b(cls) -> DiTConfig:
        """The published network: 18.5 B parameters, camera layers included."""
        return cls(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40)


@dataclass(frozen=True)
class TextContext:
    """Cross-attention keys and values of a text."""

    k: Tensor
    """``[layers, text_len, N, D]``."""

    v: Tensor
    """``[layers, text_len, N, D]``."""


@dataclass(frozen=True)
class CameraModulation:
    """What a chunk's cameras do to the residual stream, ``gain * x + shift``, in each layer."""

    gain_shift: Tensor
    """``[layers, L, 2, C]``: gain (1 for no effect), then shift."""

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Gain and shift of one layer, ``[L, C]`` each."""
        gain, shift = self.gain_shift[index].unbind(1)
        return gain, shift


@dataclass(frozen=True)
class TimestepEmbedding:
    """A timestep, as blocks and head see it."""

    e: Tensor
    """For the head, ``[C]``."""

    e0: Tensor
    """For the blocks, ``[6, C]``: shift, scale, gate of self-attention, then of the feed-forward layers."""


@dataclass(frozen=True)
class RopeAngles:
    """Rotation of each token's feature pairs, in the dtype of the network."""

    cos: Tensor
    """``[L, D/2]``."""

    sin: Tensor
    """``[L, D/2]``."""


class SelfAttention(nn.Module):
    """Attention of a chunk to itself and to what the KV cache shows of the past."""

    def __init__(self, config: DiTConfig, fp8: bool, backend: str) -> None:
        super().__init__()
        linear = Fp8Linear if fp8 else nn.Linear
        self.config, self.backend = config, backend
        self.qkv = linear(config.dim, 3 * config.dim)
        self.norm_q = nn.RMSNorm(config.dim, config.eps)  # over all heads together
        self.norm_k = nn.RMSNorm(config.dim, config.eps)
        self.o = linear(config.dim, config.dim)

    def project(self, x: Tensor, rope: RopeAngles, cache: SinkWindowKVCache, layer: int) -> Tensor:
        """Store keys and values of ``x`` ``[L, C]`` in the cache; its queries, ``[L, N, D]``."""
        heads = (len(x), self.config.num_heads, self.config.head_dim)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = rms_norm(q, self.norm_q.weight, self.config.eps).view(heads)
        k = rms_norm(k, self.norm_k.weight, self.config.eps).view(heads)
        cache.write(layer, rotate(k, rope.cos, rope.sin), v.unflatten(-1, heads[1:]))
        return rotate(q, rope.cos, rope.sin)

    def forward(self, x: Tensor, rope: RopeAngles, cache: SinkWindowKVCache, layer: int) -> Tensor:
        """Update ``[L, C]`` for tokens ``x`` ``[L, C]``."""
        q = self.project(x, rope, cache, layer)
        return self.o(attention(q, *cache.read(layer), self.backend).flatten(1))


class CrossAttention(nn.Module):
    """Attention of a chunk to the text. All text rows count, padding included."""

    def __init__(self, config: DiTConfig, fp8: bool, backend: str) -> None:
        super().__init__()
        linear = Fp8Linear if fp8 else nn.Linear
        self.config, self.backend = config, backend
        self.q = linear(config.dim, config.dim)
        self.kv = linear(config.dim, 2 * config.dim)
        self.norm_q = nn.RMSNorm(config.dim, config.eps)
        self.norm_k = nn.RMSNorm(config.dim, config.eps)
        self.o = linear(config.dim, config.dim)

    def encode_text(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``[text_len, N, D]`` of text ``[text_len, C]``."""
        k, v = self.kv(text).chunk(2, dim=-1)
        return self._heads(rms_norm(k, self.norm_k.weight, self.config.eps)), self._heads(v)

    def forward(self, x: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Update ``[L, C]`` for tokens ``x`` ``[L, C]``, from :meth:`encode_text`'s keys and values."""
        q = self._heads(rms_norm(self.q(x), self.norm_q.weight, self.config.eps))
        return self.o(attention(q, k, v, self.backend).flatten(1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.config.num_heads, self.config.head_dim))


class Block(nn.Module):
    """Self-attention, camera, text, feed-forward."""

    def __init__(self, config: DiTConfig, fp8: bool, backend: str) -> None:
        super().__init__()
        linear = Fp8Linear if fp8 else nn.Linear
        dim, self.eps = config.dim, config.eps
        self.modulation = nn.Parameter(torch.empty(6, dim))
        self.self_attn = SelfAttention(config, fp8, backend)
        self.cam_injector_layer1 = linear(dim, dim)
        self.cam_injector_layer2 = linear(dim, dim)
        self.cam_scale_shift_layer = linear(dim, 2 * dim)
        self.norm3 = nn.LayerNorm(dim, config.eps)
        self.cross_attn = CrossAttention(config, fp8, exact_name(backend))
        self.ffn = nn.Sequential(linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), linear(config.ffn_dim, dim))

    def encode_camera(self, camera: Tensor, out: Tensor) -> None:
        """Fill ``out`` ``[L, 2, C]`` with gain and shift for the embedded camera ``[L, C]``."""
        hidden = self.cam_injector_layer2(F.silu(self.cam_injector_layer1(camera))) + camera
        linear_into(self.cam_scale_shift_layer, hidden, out.view(len(out), -1))
        out[:, 0] += 1

    def update_cache(
        self, x: Tensor, timestep: TimestepEmbedding, rope: RopeAngles, cache: SinkWindowKVCache, layer: int
    ) -> None:
        """The beginning of :meth:`forward`, as far as it leaves a trace in the cache."""
        shift, scale = (self.modulation + timestep.e0)[:2]
        self.self_attn.project(layer_norm_modulate(x, shift, scale, self.eps), rope, cache, layer)

    def forward(
        self,
        x: Tensor,
        timestep: TimestepEmbedding,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        cache: SinkWindowKVCache,
        layer: int,
    ) -> Tensor:
        """Residual stream ``[L, C]`` behind this block, number ``layer`` of the network."""
        shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn = self.modulation + timestep.e0
        y = layer_norm_modulate(x, shift_attn, scale_attn, self.eps)
        x = gated_residual(x, self.self_attn(y, rope, cache, layer), gate_attn)
        x = affine(x, *camera.layer(layer))
        x = x + self.cross_attn(self.norm3(x), text.k[layer], text.v[layer])
        y = layer_norm_modulate(x, shift_ffn, scale_ffn, self.eps)
        return gated_residual(x, self.ffn(y), gate_ffn)


class Head(nn.Module):
    """From the residual stream to latent patches."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.empty(2, config.dim))
        self.head = nn.Linear(config.dim, config.out_channels * PATCH_CELLS)

    def forward(self, x: Tensor, timestep: TimestepEmbedding) -> Tensor:
        """Flow ``[L, out_channels * 4]`` from the residual stream ``[L, C]``."""
        shift, scale = self.modulation + timestep.e
        return self.head(layer_norm_modulate(x, shift, scale, self.eps))


class LingBotDiT(nn.Module):
    """The network. For inference only; may be built under ``torch.device("meta")``.

    Order of use::

        text = dit.encode_text(...)                          # when the text changes
        camera, rope = dit.encode_camera(...), dit.rope(...)  # once per chunk
        dit(tokens, dit.embed_timestep(t), camera, text, rope, cache)
        dit.update_cache(clean_tokens, dit.embed_timestep(0.0), camera, text, rope, cache)

    All tensors are of the parameters' dtype and on their device. Both kinds of pass need a chunk
    begun in the cache, and write its keys and values there.

    Args:
        config: Sizes.
        fp8: Compute the linear layers of the blocks in 8 bits.
        attention: Which backend, one of ``kernels.attention.NAMES``; attention to the text is always exact.
    """

    def __init__(self, config: DiTConfig, fp8: bool = False, attention: str = AUTO) -> None:
        super().__init__()
        self.config, self.attention = config, attention
        dim = config.dim
        self.patch_embedding = nn.Linear(config.in_channels * PATCH_CELLS, dim)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.patch_embedding_wancamctrl = nn.Linear(config.camera_channels * PATCH_CELLS, dim)
        self.c2ws_hidden_states_layer1 = nn.Linear(dim, dim)
        self.c2ws_hidden_states_layer2 = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(Block(config, fp8, attention) for _ in range(config.num_layers))
        self.head = Head(config)
        self.requires_grad_(False)

    def encode_text(self, text: Tensor) -> TextContext:
        """Cross-attention keys and values of a text.

        Args:
            text: Text encoder's output, ``[text_len, text_dim]``, with zeros behind the prompt's end.
        """
        hidden = self.text_embedding(text)  # zeros become a constant that the network expects to see
        shape = (self.config.num_layers, len(text), self.config.num_heads, self.config.head_dim)
        context = TextContext(hidden.new_empty(shape), hidden.new_empty(shape))
        for layer, block in enumerate(self._blocks()):
            context.k[layer], context.v[layer] = block.cross_attn.encode_text(hidden)
        return context

    def encode_camera(self, camera_tokens: Tensor, out: CameraModulation | None = None) -> CameraModulation:
        """Camera modulation of a chunk, in every layer.

        Args:
            camera_tokens: Ray map in token layout, ``[L, camera_channels * 4]``.
            out: Overwritten and returned when given; must be for as many tokens. At full size
                it takes 3.7 GB.
        """
        if out is None:
            shape = (self.config.num_layers, len(camera_tokens), 2, self.config.dim)
            out = CameraModulation(camera_tokens.new_empty(shape))
        assert out.gain_shift.shape[1] == len(camera_tokens), (out.gain_shift.shape, camera_tokens.shape)
        camera = self.embed_camera(camera_tokens)
        for block, gain_shift in zip(self._blocks(), out.gain_shift, strict=True):
            block.encode_camera(camera, out=gain_shift)
        return out

    def embed_camera(self, camera_tokens: Tensor) -> Tensor:
        """Camera embedding ``[L, C]`` that all blocks start from."""
        camera = self.patch_embedding_wancamctrl(camera_tokens)
        return camera + self.c2ws_hidden_states_layer2(F.silu(self.c2ws_hidden_states_layer1(camera)))

    def embed_timestep(self, t: float) -> TimestepEmbedding:
        """What the network is told of timestep ``t``, 0 (clean) to 1000 (noise)."""
        weight = self.patch_embedding.weight
        e = self.time_embedding(timestep_sinusoid(t, self.config.freq_dim, weight.device).to(weight.dtype))
        return TimestepEmbedding(e, self.time_projection(e).unflatten(0, (6, -1)))

    def rope(self, chunk_index: int, grid: tuple[int, int]) -> RopeAngles:
        """Rotation for the tokens of a chunk.

        Args:
            chunk_index: Position in the rollout; time goes on for ever, also when the past is forgotten.
            grid: Token rows and columns of a latent frame.
        """
        weight = self.patch_embedding.weight
        angles = rope_angles(self.config.head_dim, latent_frame_indices(chunk_index), grid, weight.device)
        return RopeAngles(angles.cos().to(weight.dtype), angles.sin().to(weight.dtype))

    def forward(
        self,
        tokens: Tensor,
        timestep: TimestepEmbedding,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        cache: SinkWindowKVCache,
    ) -> Tensor:
        """Flow of a chunk.

        Args:
            tokens: ``[L, in_channels * 4]``: noisy latents, mask, photo latents.
            timestep: Noise level of the noisy latents.
            camera: The chunk's cameras.
            text: The text in force.
            rope: The chunk's position.
            cache: Gets the chunk's keys and values; shows it the past.

        Returns:
            ``[L, out_channels * 4]``, in the token layout of the noisy latents.
        """
        x = self.patch_embedding(tokens)
        for layer, block in enumerate(self._blocks()):
            x = block(x, timestep, camera, text, rope, cache, layer)
        return self.head(x, timestep)

    def update_cache(
        self,
        tokens: Tensor,
        timestep: TimestepEmbedding,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        cache: SinkWindowKVCache,
    ) -> None:
        """Write the keys and values of a chunk; stops behind those of the last block.

        Takes what :meth:`forward` takes.
        """
        *blocks, last_block = self._blocks()
        x = self.patch_embedding(tokens)
        for layer, block in enumerate(blocks):
            x = block(x, timestep, camera, text, rope, cache, layer)
        last_block.update_cache(x, timestep, rope, cache, len(blocks))

    def checkpoint_views(self) -> dict[str, CheckpointView]:
        """Where each tensor of the published checkpoint goes, by its key."""
        views, parameters = {}, dict(self.named_parameters())
        scales = {name: parameters.pop(scale_name(name)) for name in [*parameters] if scale_name(name) in parameters}
        for name, parameter in parameters.items():
            views.update(self._native_views(name, parameter, scales.get(name)))
        return views

    def _native_views(self, name: str, tensor: Tensor, scale: Tensor | None) -> Iterator[tuple[str, CheckpointView]]:
        """The checkpoint's tensors in one parameter, which has a ``scale`` of each row if it is in 8 bits."""
        module_name, _, leaf = name.rpartition(".")
        config = self.config
        fused = next((key for key in _FUSED if module_name.endswith("." + key)), None)
        if fused is not None:
            prefix, parts = module_name.removesuffix(fused), _FUSED[fused]
            scales = [None] * len(parts) if scale is None else scale.chunk(len(parts))
            for part, rows, row_scales in zip(parts, tensor.chunk(len(parts)), scales, strict=True):
                yield f"{prefix}{part}.{leaf}", CheckpointView(tuple(rows.shape), rows, row_scales)
        elif name == "patch_embedding.weight":  # a convolution whose kernel is as large as its stride
            shape = (config.dim, config.in_channels, 1, PATCH_SIZE, PATCH_SIZE)
            yield name, CheckpointView(shape, tensor)
        elif leaf == "modulation":
            yield name, CheckpointView((1, *tensor.shape), tensor)
        elif module_name == "head.head":  # rows: ours (channel, row, column), the checkpoint's (row, column, channel)
            ours = tensor.unflatten(0, (config.out_channels, PATCH_SIZE, PATCH_SIZE))
            yield name, CheckpointView(tuple(tensor.shape), ours.movedim(0, 2))
        else:
            yield name, CheckpointView(tuple(tensor.shape), tensor, scale)

    def _blocks(self) -> Iterator[Block]:
        """The blocks, with their type, which ``nn.ModuleList`` hides."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block


def timestep_sinusoid(t: float, num_features: int, device: torch.device | str | None = None) -> Tensor:
    """Cosines, then sines, of ``t`` at falling frequencies; float64 ``[num_features]``."""
    half = num_features // 2
    exponents = torch.arange(half, dtype=torch.float64, device=device) / half
    angles = t * 10000.0**-exponents
    return torch.cat([angles.cos(), angles.sin()])
