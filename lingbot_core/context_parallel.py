# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Splitting one pass over several ranks: tokens for all that is pointwise, heads for attention.

A rank computes its own tokens everywhere but in the attention of a chunk to itself and its past.
There it has all tokens of its own heads: one exchange before it turns tokens into heads, one
behind it turns them back. Cached keys and values are always those of a rank's own heads, so they
never move. (The scheme of DeepSpeed-Ulysses, Jacobs et al. 2023, with a cache split by heads.)

Ranks hold equally many tokens, which the last ones make up with rows of zeros. Those are behind
all real tokens in the order of the ranks, so that dropping them is taking the first L rows.

R ranks, L tokens of a chunk, l = ceil(L / R) tokens of a rank, N heads, D head dim, C = N * D.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from lingbot_core.errors import InputError


@dataclass(frozen=True)
class ContextParallel:
    """One rank's place among those that share a pass; :data:`ONE_RANK` when there is no other.

    Exchanges run in the order of the current stream, do not wait on the host, and may be recorded
    into CUDA graphs. All ranks must call them in the same order.
    """

    rank: int = 0
    """This rank, from 0."""

    size: int = 1
    """Ranks, R."""

    group: dist.ProcessGroup | None = None
    """What carries tensors: NCCL between GPUs, Gloo between CPUs; None for one rank."""

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size and (self.size == 1 or self.group is not None), (self.rank, self.size)

    # --- who has what -------------------------------------------------------------------

    def num_local_tokens(self, num_tokens: int) -> int:
        """Tokens of every rank, padding included: l."""
        return -(-num_tokens // self.size)

    def local_rows(self, num_tokens: int) -> slice:
        """Which of a chunk's tokens are this rank's; fewer than l, or none, for the last ranks."""
        per_rank = self.num_local_tokens(num_tokens)
        first = min(self.rank * per_rank, num_tokens)
        return slice(first, min(first + per_rank, num_tokens))

    def local(self, x: Tensor) -> Tensor:
        """This rank's rows of ``[L, ...]``, with zeros behind them to make ``[l, ...]``."""
        if self.size == 1:
            return x
        rows = x[self.local_rows(len(x))]
        return _pad_rows(rows, self.num_local_tokens(len(x)))

    def num_local_heads(self, num_heads: int) -> int:
        """Heads of every rank.

        Raises:
            InputError: The heads do not divide.
        """
        check_heads(num_heads, self.size)
        return num_heads // self.size

    # --- exchanges ----------------------------------------------------------------------

    def exchange(self, x: Tensor) -> Tensor:
        """Give row ``r`` of ``[R, ...]`` to rank ``r``; row ``r`` of the result is what rank ``r`` gave."""
        if self.size == 1:
            return x
        assert len(x) == self.size and x.is_contiguous(), (x.shape, x.stride())
        received = torch.empty_like(x)
        dist.all_to_all_single(received, x, group=self.group)
        return received

    def heads_to_tokens(self, x: Tensor) -> Tensor:
        """From all tokens of this rank's heads, ``[L, N/R, D]``, to this rank's tokens with all heads, ``[l, C]``."""
        if self.size == 1:
            return x.flatten(1)
        per_rank = self.num_local_tokens(len(x))
        sent = _pad_rows(x, self.size * per_rank).contiguous().view(self.size, per_rank, -1)
        return self.exchange(sent).transpose(0, 1).reshape(per_rank, -1)

    def gather(self, x: Tensor, out: Tensor) -> None:
        """Fill ``out`` ``[L, C]`` with the real tokens of all ranks' ``x`` ``[l, C]``."""
        if self.size == 1:
            out.copy_(x)
            return
        padded = x.new_empty(self.size * len(x), x.shape[1])
        # renamed in torch 2.13; looked up here because some builds of torch have none of it
        all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        all_gather(padded, x.contiguous(), group=self.group)
        out.copy_(padded[: len(out)])

    def broadcast(self, x: Tensor, source: int = 0) -> None:
        """Overwrite ``x``, contiguous and of any dtype, by what it is on rank ``source``."""
        if self.size == 1 or not x.numel():
            return
        assert x.is_contiguous(), x.stride()
        if x.is_floating_point() and x.itemsize == 1:  # Gloo does not know numbers of 8 bits
            x = x.view(torch.uint8)
        dist.broadcast(x, source, group=self.group)

    def bytes_per_pass(
        self, num_tokens: int, *, width: int, num_layers: int, bytes_per_value: int, flow_features: int = 64
    ) -> int:
        """What this rank sends to others, and as much receives, in one denoising pass.

        In each layer queries, keys, values and the output of attention, ``4 * l * C`` values, of which
        the share ``(R - 1) / R`` is for others; once, its rows of the flow to each of the others. Nothing
        grows with the window. (A cache update lacks the last layer's output and the flow.)

        Args:
            num_tokens: L.
            width: C.
            num_layers: Layers of the network.
            bytes_per_value: 2 in bf16 and fp8, where exchanges are in bf16; 4 in fp32.
            flow_features: Of a token of the flow.
        """
        per_rank, others = self.num_local_tokens(num_tokens), self.size - 1
        layers = num_layers * 4 * per_rank * width * others // self.size
        return (layers + others * per_rank * flow_features) * bytes_per_value


ONE_RANK = ContextParallel()
"""No other rank: nothing is split, padded or exchanged."""


_GPUS_OF_A_MACHINE = 16
"""The most there are; larger numbers are only suggested to whoever asks for more."""


def check_heads(num_heads: int, num_ranks: int) -> None:
    """Check that the heads of a network can be shared out among so many GPUs.

    Raises:
        InputError: They cannot; the message lists the numbers that are possible.
    """
    if num_heads % num_ranks:
        most = _GPUS_OF_A_MACHINE if num_ranks <= _GPUS_OF_A_MACHINE else num_heads
        possible = [str(count) for count in range(1, min(most, num_heads) + 1) if num_heads % count == 0]
        raise InputError(
            f"The work of this model cannot be shared by {num_ranks} GPUs.",
            got=f"{num_heads} attention heads",
            need=f"a number of GPUs that divides them: {', '.join(possible)}",
            do="Choose another --num-gpus.",
        )


def _pad_rows(x: Tensor, num_rows: int) -> Tensor:
    """Put zeros behind the first axis, if it is shorter than ``num_rows``."""
    missing = num_rows - len(x)
    return F.pad(x, (0, 0) * (x.ndim - 1) + (0, missing)) if missing else x
