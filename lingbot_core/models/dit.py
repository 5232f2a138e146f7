# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The LingBot-World diffusion transformer: a Wan 2.1 network with camera control and a KV cache.

One pass takes the tokens of a chunk (noisy latents, mask and photo latents) and gives the flow
of its latents. What does not change between the five passes of a chunk is computed once, and
handed to each pass: text keys and values, camera modulation, rotary angles.

Several ranks may share a pass (:mod:`lingbot_core.context_parallel`): each gives its own tokens and what
belongs to them, and a KV cache with its own heads. Only the attention of a chunk to itself and the past knows.

There is no batch axis. Formulas and names follow the published checkpoint (robbyant/lingbot-world-fast);
parameters are laid out for speed, and :meth:`LingBotDiT.checkpoint_views` says what goes where.

L tokens of a chunk, l of them on this rank (all, when it is alone), N heads, D head dim, C network width (= N * D).
What other functions call L tokens are then those l.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_core.kernels.activations import activate
from lingbot_core.kernels.attention import AUTO, attention, exact_name
from lingbot_core.kernels.fp8 import RowScaled
from lingbot_core.kernels.norms import layer_norm_modulate, rms_norm
from lingbot_core.kernels.qkv import norm_rope_pack, norm_rope_store, store_exchanged
from lingbot_core.kernels.residual import gated_residual_affine_layer_norm, gated_residual_layer_norm_modulate
from lingbot_core.kernels.rope import rope_angles
from lingbot_core.kv_cache import KVView
from lingbot_core.layouts.base import CheckpointView, scale_name
from lingbot_core.models.dit_config import (
    PATCH_CELLS,
    CameraModulation,
    DiTConfig,
    RopeAngles,
    TextContext,
    TimestepEmbedding,
    TimestepModulation,
)
from lingbot_core.models.linear import Fp8Linear, linear_into
from lingbot_core.models.offload import OffloadedWeights, Part
from lingbot_core.timeline import PATCH_SIZE, latent_frame_indices

_FUSED = {
    "self_attn.qkv": ("self_attn.q", "self_attn.k", "self_attn.v"),
    "cross_attn.kv": ("cross_attn.k", "cross_attn.v"),
    "cam_scale_shift_layer": ("cam_scale_layer", "cam_shift_layer"),
}
"""Our projection in a block -> the checkpoint's projections that it stacks."""


class Activation(nn.Module):
    """An activation function between two linear layers."""

    def __init__(self, function: Literal["gelu", "silu"], fp8: bool) -> None:
        super().__init__()
        self.function: Literal["gelu", "silu"] = function
        self.fp8 = fp8

    def forward(self, x: Tensor) -> Tensor | RowScaled:
        """Of ``x`` ``[L, C]``, which may be overwritten; in 8 bits for layers that compute so."""
        return activate(x, self.function, fp8=self.fp8)


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

    def project(self, x: Tensor | RowScaled, rope: RopeAngles, kv: KVView, layer: int) -> Tensor:
        """Store the chunk's keys and values for this rank's heads; its queries for them, ``[L, N/R, D]``.

        ``x`` is this rank's tokens, ``[l, C]``.
        """
        qkv, norms = self.qkv(x), (self.norm_q.weight, self.norm_k.weight, self.config.eps)
        if kv.parallel.size == 1:
            return norm_rope_store(qkv, *norms, rope.cos, rope.sin, kv.k[layer], kv.v[layer], kv.rows)
        packed = norm_rope_pack(qkv, *norms, rope.cos, rope.sin, kv.parallel.size)
        return store_exchanged(kv.parallel.exchange(packed), kv.k[layer], kv.v[layer], kv.rows)

    def forward(self, x: Tensor | RowScaled, rope: RopeAngles, kv: KVView, layer: int) -> Tensor:
        """Update ``[l, C]`` for this rank's tokens ``x`` ``[l, C]``."""
        q = self.project(x, rope, kv, layer)
        return self.o(kv.parallel.heads_to_tokens(attention(q, *kv.visible(layer), self.backend)))


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

    def forward(self, x: Tensor | RowScaled, k: Tensor, v: Tensor) -> Tensor:
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
        dim, self.eps, self.fp8 = config.dim, config.eps, fp8
        self.modulation = nn.Parameter(torch.empty(6, dim))
        self.self_attn = SelfAttention(config, fp8, backend)
        self.cam_injector_layer1 = linear(dim, dim)
        self.cam_injector_layer2 = linear(dim, dim)
        self.cam_scale_shift_layer = linear(dim, 2 * dim)
        self.norm3 = nn.LayerNorm(dim, config.eps)
        self.cross_attn = CrossAttention(config, fp8, exact_name(backend))
        self.ffn = nn.Sequential(linear(dim, config.ffn_dim), Activation("gelu", fp8), linear(config.ffn_dim, dim))

    def encode_camera(self, camera: Tensor, out: Tensor) -> None:
        """Fill ``out`` ``[L, 2, C]`` with scale and shift for the embedded camera ``[L, C]``."""
        hidden = activate(self.cam_injector_layer1(camera), "silu", fp8=self.fp8)
        hidden = self.cam_injector_layer2(hidden) + camera
        linear_into(self.cam_scale_shift_layer, hidden, out.view(len(out), -1))

    def forward(
        self,
        x: Tensor,
        y: Tensor | RowScaled,
        modulation: Tensor,
        scale_shift: Tensor,
        text_k: Tensor,
        text_v: Tensor,
        rope: RopeAngles,
        kv: KVView,
        layer: int,
    ) -> tuple[Tensor, Tensor]:
        """The block without what lies at its two ends, which is fused with its neighbours.

        Args:
            x: Residual stream, ``[L, C]``.
            y: ``layer_norm(x) * (1 + scale) + shift``, with this layer's modulation, ``[L, C]``.
            modulation: The timestep's, ``[6, C]``.
            scale_shift: The cameras', ``[L, 2, C]``.
            text_k: Keys of the text, ``[text_len, N, D]``.
            text_v: Values of the text.
            rope: Position of the chunk.
            kv: Slots for keys and values.
            layer: Number of the block in the network.

        Returns:
            Residual stream behind the text, and what is still to be added to it, times the last row of ``modulation``.
        """
        _, _, gate_attn, shift_ffn, scale_ffn, _ = modulation
        attended = self.self_attn(y, rope, kv, layer)
        norm3, eps, fp8 = self.norm3, self.eps, self.fp8
        x, y = gated_residual_affine_layer_norm(
            x, attended, gate_attn, scale_shift, norm3.weight, norm3.bias, eps, fp8=fp8
        )
        attended = self.cross_attn(y, text_k, text_v)
        x, y = gated_residual_layer_norm_modulate(x, attended, None, shift_ffn, scale_ffn, eps, fp8=fp8)
        return x, self.ffn(y)


class Head(nn.Module):
    """From the residual stream to latent patches."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Parameter(torch.empty(2, config.dim))
        self.head = nn.Linear(config.dim, config.out_channels * PATCH_CELLS)

    def forward(self, y: Tensor) -> Tensor:
        """Flow ``[L, out_channels * 4]`` from the normalised and modulated residual stream ``[L, C]``."""
        return self.head(y)


class LingBotDiT(nn.Module):
    """The network. For inference only; may be built under ``torch.device("meta")``.

    Order of use::

        text = dit.encode_text(...)                          # when the text changes
        camera, rope = dit.encode_camera(...), dit.rope(...)  # once per chunk
        dit(tokens, dit.modulation(t), camera, text, rope, cache.view())
        dit.update_cache(clean_tokens, dit.modulation(0.0), camera, text, rope, cache.view())

    All tensors are of the parameters' dtype and on their device. Both kinds of pass need a chunk
    begun in the cache, and write its keys and values there.

    Args:
        config: Sizes.
        fp8: Compute the linear layers of the blocks in 8 bits.
        attention: Which backend, one of ``kernels.attention.NAMES``; attention to the text is always exact.
    """

    def __init__(self, config: DiTConfig, fp8: bool = False, attention: str = AUTO) -> None:
        super().__init__()
        self.config, self.fp8, self.attention = config, fp8, attention
        self.offloaded: OffloadedWeights | None = None
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

    def encode_text(self, text: Tensor, out: TextContext | None = None) -> TextContext:
        """Cross-attention keys and values of a text.

        Args:
            text: Text encoder's output, ``[text_len, text_dim]``, with zeros behind the prompt's end.
            out: Overwritten and returned when given; 0.4 GB at full size.
        """
        hidden = self.text_embedding(text)  # zeros become a constant that the network expects to see
        if out is None:
            shape = (self.config.num_layers, len(text), self.config.num_heads, self.config.head_dim)
            out = TextContext(hidden.new_empty(shape), hidden.new_empty(shape))
        for layer, block in enumerate(self._blocks("text")):
            out.k[layer], out.v[layer] = block.cross_attn.encode_text(hidden)
        return out

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
        assert out.scale_shift.shape[1] == len(camera_tokens), (out.scale_shift.shape, camera_tokens.shape)
        camera = self.embed_camera(camera_tokens)
        for block, scale_shift in zip(self._blocks("camera"), out.scale_shift, strict=True):
            block.encode_camera(camera, out=scale_shift)
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

    def modulation(self, t: float) -> TimestepModulation:
        """What timestep ``t`` does in each layer; 2.5 MB at full size."""
        timestep = self.embed_timestep(t)
        blocks = torch.stack([block.modulation + timestep.e0 for block in self._blocks()])
        return TimestepModulation(blocks, self.head.modulation + timestep.e)

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
        modulation: TimestepModulation,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        kv: KVView,
    ) -> Tensor:
        """Flow of a chunk.

        Args:
            tokens: ``[L, in_channels * 4]``: noisy latents, mask, photo latents.
            modulation: Noise level of the noisy latents.
            camera: The chunk's cameras.
            text: The text in force.
            rope: The chunk's position.
            kv: Gets the chunk's keys and values; shows it the past.

        Returns:
            ``[L, out_channels * 4]``, in the token layout of the noisy latents.
        """
        _, y = self._run_blocks(self.config.num_layers, tokens, modulation, camera, text, rope, kv)
        assert isinstance(y, Tensor)
        return self.head(y)

    def update_cache(
        self,
        tokens: Tensor,
        modulation: TimestepModulation,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        kv: KVView,
    ) -> None:
        """Write the keys and values of a chunk; stops behind those of the last block.

        Takes what :meth:`forward` takes.
        """
        last = self.config.num_layers - 1
        _, y = self._run_blocks(last, tokens, modulation, camera, text, rope, kv)
        self._block(last, "pass").self_attn.project(y, rope, kv, last)

    def _run_blocks(
        self,
        num_blocks: int,
        tokens: Tensor,
        modulation: TimestepModulation,
        camera: CameraModulation,
        text: TextContext,
        rope: RopeAngles,
        kv: KVView,
    ) -> tuple[Tensor, Tensor | RowScaled]:
        """The first blocks: residual stream behind them, and the input of what comes next, ``[L, C]`` each."""
        eps = self.config.eps
        x = self.patch_embedding(tokens)
        y = layer_norm_modulate(x, *modulation.shift_scale_before(0), eps, fp8=self.fp8)
        for layer in range(num_blocks):
            rows = modulation.blocks[layer], camera.scale_shift[layer], text.k[layer], text.v[layer]
            x, update = self._block(layer, "pass")(x, y, *rows, rope, kv, layer)
            fp8 = self.fp8 and layer + 1 < self.config.num_layers  # the head is never in 8 bits
            next_norm = modulation.shift_scale_before(layer + 1)
            x, y = gated_residual_layer_norm_modulate(x, update, modulation.blocks[layer, 5], *next_norm, eps, fp8=fp8)
        return x, y

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

    def _block(self, layer: int, part: Part | None = None) -> Block:
        """A block, with its type, which ``nn.ModuleList`` hides; and with the matrices of a part in place."""
        if part is not None and self.offloaded is not None:
            self.offloaded.use(part, layer)
        block = self.blocks[layer]
        assert isinstance(block, Block)
        return block

    def _blocks(self, part: Part | None = None) -> Iterator[Block]:
        """All blocks in order, each to be used before the next is taken."""
        return (self._block(layer, part) for layer in range(len(self.blocks)))


def timestep_sinusoid(t: float, num_features: int, device: torch.device | str | None = None) -> Tensor:
    """Cosines, then sines, of ``t`` at falling frequencies; float64 ``[num_features]``."""
    half = num_features // 2
    exponents = torch.arange(half, dtype=torch.float64, device=device) / half
    angles = t * 10000.0**-exponents
    return torch.cat([angles.cos(), angles.sin()])
