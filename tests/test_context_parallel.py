# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Who has which tokens and heads. Ranks are played one after the other; real ones are in executor/test_ranks.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from lingbot_core.context_parallel import ONE_RANK, ContextParallel
from lingbot_core.errors import InputError
from lingbot_core.kernels.qkv import norm_rope_pack, norm_rope_store, store_exchanged
from lingbot_core.kv_cache import SinkWindowKVCache

ROOT = Path(__file__).parents[1]

SIZES = [(length, ranks) for length in (1, 2, 6, 7, 9, 18, 27, 64) for ranks in (1, 2, 3, 4, 8)]


def make_ranks(size: int) -> list[ContextParallel]:
    """Places of all ranks of a group that carries nothing."""
    return [ContextParallel(rank, size, cast(Any, object())) for rank in range(size)]


def exchanged(sent: list[Tensor]) -> list[Tensor]:
    """What each rank receives when rank ``r`` sends ``sent[r]``."""
    return [torch.stack([x[rank] for x in sent]) for rank in range(len(sent))]


def play(ranks: list[ContextParallel], work: Callable[[ContextParallel], Any], monkeypatch) -> list[Any]:
    """Results of ``work``, which exchanges once, on every rank."""
    sent: list[Tensor] = []

    class Sent(Exception):
        pass

    def send(self: ContextParallel, x: Tensor) -> Tensor:
        sent.append(x)
        raise Sent

    monkeypatch.setattr(ContextParallel, "exchange", send)
    for parallel in ranks:
        with pytest.raises(Sent):
            work(parallel)
    received = exchanged(sent)
    monkeypatch.setattr(ContextParallel, "exchange", lambda self, x: received[self.rank])
    return [work(parallel) for parallel in ranks]


@pytest.mark.parametrize(("length", "size"), SIZES)
def test_local_tokens_of_all_ranks_in_order_are_the_chunk_and_padding(length: int, size: int) -> None:
    x = torch.arange(1.0, 2 * length + 1).view(length, 2)
    parts = [parallel.local(x) for parallel in make_ranks(size)]
    assert {len(part) for part in parts} == {-(-length // size)}
    whole = torch.cat(parts)
    assert torch.equal(whole[:length], x) and not whole[length:].any()
    rows = [parallel.local_rows(length) for parallel in make_ranks(size)]
    assert torch.equal(torch.cat([x[part] for part in rows]), x)


@pytest.mark.parametrize(("length", "size"), [pair for pair in SIZES if pair[1] > 1])
def test_pack_exchange_store_gives_each_rank_all_tokens_of_its_heads_and_back(
    length: int, size: int, monkeypatch
) -> None:
    torch.manual_seed(length)
    heads, head_dim, eps = 24, 4, 1e-6  # heads divide by every size
    width = heads * head_dim
    tokens, norm_q, norm_k = torch.randn(length, 3 * width), torch.randn(width), torch.randn(width)
    cos, sin = torch.randn(2, length, head_dim // 2)
    rows = torch.randperm(length + 5)[:length]
    k, v = torch.zeros(2, length + 5, heads, head_dim)
    q = norm_rope_store(tokens, norm_q, norm_k, eps, cos, sin, k, v, rows)

    def to_heads(parallel: ContextParallel) -> tuple[Tensor, Tensor, Tensor]:
        local = [parallel.local(x) for x in (tokens, cos, sin)]
        packed = norm_rope_pack(local[0], norm_q, norm_k, eps, local[1], local[2], parallel.size)
        store = torch.zeros(2, length + 5, heads // parallel.size, head_dim)
        return store_exchanged(parallel.exchange(packed), store[0], store[1], rows), store[0], store[1]

    ranks = make_ranks(size)
    results = play(ranks, to_heads, monkeypatch)
    for part, expected in enumerate((q, k, v)):
        assert torch.allclose(torch.cat([result[part] for result in results], dim=1), expected, atol=1e-6)

    def to_tokens(parallel: ContextParallel) -> Tensor:
        return parallel.heads_to_tokens(q.chunk(size, dim=1)[parallel.rank])

    whole = torch.cat(play(ranks, to_tokens, monkeypatch))
    assert torch.equal(whole[:length], q.flatten(1)) and not whole[length:].any()


def test_one_rank_copies_nothing() -> None:
    x = torch.randn(7, 3)
    assert ONE_RANK.local(x) is x and ONE_RANK.exchange(x) is x
    assert ONE_RANK.num_local_tokens(7) == 7 and ONE_RANK.num_local_heads(40) == 40
    heads = torch.randn(7, 2, 3)
    assert ONE_RANK.heads_to_tokens(heads).data_ptr() == heads.data_ptr()
    out = torch.empty(7, 3)
    ONE_RANK.gather(x, out)
    assert torch.equal(out, x)
    assert ONE_RANK.bytes_per_pass(4524, width=5120, num_layers=40, bytes_per_value=2) == 0


@pytest.mark.parametrize("size", [3, 6, 7, 9, 16, 24])
def test_ranks_that_do_not_divide_the_heads_are_refused_with_those_that_do(size: int) -> None:
    possible = "1, 2, 4, 5, 8, 10" if size <= 16 else "1, 2, 4, 5, 8, 10, 20, 40"  # more than one machine has
    with pytest.raises(InputError, match=rf"shared by {size} GPUs.*40 attention heads.*divides them: {possible}\. "):
        make_ranks(size)[0].num_local_heads(40)
    with pytest.raises(InputError):
        SinkWindowKVCache(1, 40, 4, 6, 2, 0, torch.float32, "cpu", make_ranks(size)[0])


def test_cache_of_a_rank_holds_its_heads_of_all_tokens() -> None:
    cache = SinkWindowKVCache(3, 40, 4, 6, 2, 1, torch.float32, "cpu", make_ranks(8)[7])
    assert cache.k.shape == cache.v.shape == (3, 18, 5, 4)
    cache.begin_chunk(0)
    assert len(cache.view().rows) == 6 and cache.view().parallel is cache.parallel


def test_bytes_per_pass_at_full_size() -> None:
    two, eight = (
        make_ranks(size)[0].bytes_per_pass(4524, width=5120, num_layers=40, bytes_per_value=2) for size in (2, 8)
    )
    # 40 layers of q, k, v and output of 2262 tokens in bf16, half of it for the other rank, and 2262 rows of the flow
    assert two == 40 * 4 * 2262 * 5120 * 2 // 2 + 2262 * 64 * 2
    assert eight == 40 * 4 * 566 * 5120 * 2 * 7 // 8 + 7 * 566 * 64 * 2


WITHOUT_DISTRIBUTED = """
import sys, types, torch
torch.distributed = sys.modules["torch.distributed"] = types.ModuleType("torch.distributed")
torch.distributed.is_available = lambda: False
import lingbot_core.cli.generate
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.variants import VARIANTS
from tests.tiny_engine import build_model, make_request, run
print(len(run(LocalExecutor(build_model()), make_request(2))))
RunSettings.resolve(VARIANTS["lingbot-world-fast"], ModelOptions(device="cpu", num_gpus=2))
"""


def test_torch_without_distributed_runs_on_one_device_and_refuses_several() -> None:
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_DISTRIBUTED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert process.stdout.strip() == "2", process.stderr
    assert "Several GPUs cannot work together here. Got: " in process.stderr
