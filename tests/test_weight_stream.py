# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_core import safetensors_io
from lingbot_core.context_parallel import ContextParallel
from lingbot_core.errors import Cancelled, WeightsError
from lingbot_core.kernels.fp8 import quantise_rows
from lingbot_core.layouts.base import CheckpointView, Layout, TensorSource
from lingbot_core.readers import SafetensorsReader
from lingbot_core.weight_stream import materialize, split_reading, stream_tensors
from tests.shards import save_sharded


def layout_of(sources: Mapping[str, TensorSource]) -> Layout[None]:
    return Layout("test", None, sources)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return save_sharded(tmp_path, [{"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}, {"c": torch.zeros(5)}])


def test_stream_tensors_when_rearranged_fills_views_and_casts_once(index: Path):
    parameter = torch.empty(10, dtype=torch.bfloat16)
    views = {
        "c": CheckpointView((5,), parameter[:5]),
        "a": CheckpointView((2, 3), torch.empty(3, 2, dtype=torch.bfloat16).T),
        "b": CheckpointView((4,), parameter[6:].view(2, 2)),
    }
    order, done = [], []
    stream_tensors(
        SafetensorsReader(index),
        layout_of({name: TensorSource(name) for name in "abc"}),
        views,
        on_tensor=lambda name, tensor: order.append((name, tensor.dtype)),
        on_progress=lambda progress: done.append((progress.done_bytes, progress.total_bytes)),
    )
    assert torch.equal(views["a"].target, torch.arange(6.0).view(2, 3).bfloat16())
    assert torch.equal(parameter[6:].float(), torch.ones(4))
    assert order == [("a", torch.float32), ("b", torch.float32), ("c", torch.float32)]
    assert done == [(24, 60), (40, 60), (60, 60)]


def test_stream_tensors_when_scaled_or_oversize_reads_as_the_source_says(tmp_path: Path):
    weight = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    save_file({"w": weight.to(torch.float8_e4m3fn), "w.scale": torch.tensor(0.25)}, tmp_path / "x.safetensors")
    targets = {"scaled": torch.empty(2, 2), "tail": torch.empty(1, 2)}
    stream_tensors(
        SafetensorsReader(tmp_path / "x.safetensors"),
        layout_of({"scaled": TensorSource("w", scale_key="w.scale"), "tail": TensorSource("w", last_rows=1)}),
        {name: CheckpointView(tuple(target.shape), target) for name, target in targets.items()},
    )
    assert torch.equal(targets["scaled"], weight / 4)
    assert torch.equal(targets["tail"], weight[-1:])


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (("a", (3, 2)), r"The tensor a in .* wrong shape.*\[2, 3\].*\[3, 2\]"),
        (("d", (4,)), "The tensor d is missing"),
    ],
)
def test_stream_tensors_when_misshaped_or_missing_names_the_tensor_before_any_copy(index: Path, view, message):
    name, shape = view
    first = torch.full((4,), 7.0)
    with pytest.raises(WeightsError, match=message):
        stream_tensors(
            SafetensorsReader(index),
            layout_of({key: TensorSource(key) for key in "abcd"}),
            {"b": CheckpointView((4,), first), name: CheckpointView(shape, torch.empty(shape))},
        )
    assert torch.equal(first, torch.full((4,), 7.0))


def test_stream_tensors_when_cancelled_stops_within_a_slow_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next piece of a tensor, however large it is."""
    monkeypatch.setattr(safetensors_io, "_PIECE_BYTES", 16)
    save_file({"a": torch.ones(2), "b": torch.arange(64.0), "c": torch.ones(2)}, tmp_path / "x.safetensors")
    views = {name: CheckpointView((size,), torch.zeros(size)) for name, size in (("a", 2), ("b", 64), ("c", 2))}
    num_asked = 0

    def cancelled_at(last: int) -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked == last

    def stream(last: int) -> None:
        layout = layout_of({name: TensorSource(name) for name in views})
        stream_tensors(
            SafetensorsReader(tmp_path / "x.safetensors"), layout, views, cancelled=lambda: cancelled_at(last)
        )

    with pytest.raises(Cancelled, match="while weights were read"):
        stream(8)
    assert num_asked == 8 and views["a"].target.eq(1).all() and not views["b"].target.any()
    stream(-1)
    assert torch.equal(views["b"].target, torch.arange(64.0)) and views["c"].target.eq(1).all()


def test_materialize_when_built_on_meta_has_memory_in_the_dtype_only():
    with torch.device("meta"):
        module = torch.nn.Linear(3, 4)
    materialize(module, torch.device("cpu"), torch.bfloat16)
    assert module.weight.device.type == "cpu" and module.weight.dtype == torch.bfloat16
    assert not module.weight.requires_grad and not module.training


def test_stream_tensors_when_checkpoint_is_large_holds_one_tensor_at_a_time(tmp_path: Path):
    """Resident memory grows by far less than the checkpoint that streams by."""
    tensors = {f"t{i}": torch.zeros(2**20) for i in range(48)}  # 192 MiB in tensors of 4 MiB
    index = save_sharded(tmp_path, [dict(list(tensors.items())[:24]), dict(list(tensors.items())[24:])])
    script = f"""
import resource
from pathlib import Path
import torch
from lingbot_core.layouts.base import CheckpointView, Layout, TensorSource
from lingbot_core.readers import SafetensorsReader
from lingbot_core.weight_stream import stream_tensors
reader = SafetensorsReader(Path({str(index)!r}))
target = torch.zeros(2**20, dtype=torch.bfloat16)
names = list(reader.shapes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream_tensors(reader, Layout("test", None, {{n: TensorSource(n) for n in names}}),
               {{n: CheckpointView((2**20,), target) for n in names}})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(result.stdout) * unit < 40 * 2**20


# --- several ranks, played by threads ---------------------------------------------------

NUM_RANKS = 3


class PlayedRank(ContextParallel):
    """A rank whose broadcast copies from the memory of another thread."""

    barrier = Barrier(NUM_RANKS, timeout=30)
    shared: dict[int, Tensor] = {}

    def broadcast(self, x: Tensor, source: int = 0) -> None:
        self.shared[self.rank] = x
        self.barrier.wait()
        if self.rank != source:
            x.copy_(self.shared[source])
        self.barrier.wait()


def play(work: Callable[[PlayedRank], Any]) -> list[Any]:
    """Results or errors of all ranks."""
    PlayedRank.barrier.reset()
    ranks = [PlayedRank(rank, NUM_RANKS, cast(Any, object())) for rank in range(NUM_RANKS)]
    with ThreadPoolExecutor(NUM_RANKS) as pool:
        futures = [pool.submit(work, rank) for rank in ranks]
        return [future.exception() or future.result() for future in futures]


def test_split_reading_gives_each_rank_about_as_many_bytes() -> None:
    sizes = [9, 1, 1, 9, 4, 4, 1, 9, 2] * 20
    owners = split_reading(sizes, 4)
    totals = Counter[int]()
    for owner, size in zip(owners, sizes, strict=True):
        totals[owner] += size
    assert max(totals.values()) - min(totals.values()) <= max(sizes)
    assert split_reading(sizes, 1) == [0] * len(sizes)


def test_stream_tensors_on_several_ranks_reads_each_tensor_once_and_fills_all(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_read, read = Counter[str](), SafetensorsReader.read

    def counting(self: SafetensorsReader, key: str, *others: Any) -> Tensor:
        num_read[key] += 1
        return read(self, key, *others)

    monkeypatch.setattr(SafetensorsReader, "read", counting)

    def load(parallel: PlayedRank) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        scaled, seen = (torch.empty(2, 3, dtype=torch.float8_e4m3fn), torch.empty(2, 1)), {}
        views = {
            "a": CheckpointView((2, 3), *scaled),
            "b": CheckpointView((4,), torch.empty(2, 2, dtype=torch.bfloat16).T),
            "c": CheckpointView((5,), torch.empty(5)),
        }
        stream_tensors(
            SafetensorsReader(index),
            layout_of({name: TensorSource(name) for name in views}),
            views,
            on_tensor=seen.__setitem__,
            parallel=parallel,
        )
        return {**{name: view.target for name, view in views.items()}, "a_scale": scaled[1]}, seen

    rows = quantise_rows(torch.arange(6.0).view(2, 3).bfloat16())
    expected = {"a": rows.values, "a_scale": rows.scale, "b": torch.ones(2, 2).bfloat16(), "c": torch.zeros(5)}
    for held, seen in play(load):
        assert held.keys() == seen.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(held[name].float(), tensor.float()), name
            assert torch.equal(seen[name].float().flatten(), tensor.float().flatten()), name
    assert num_read == {"a": 1, "b": 1, "c": 1}


def test_stream_tensors_on_ranks_with_different_files_stops_those_that_differ_from_the_first(tmp_path: Path) -> None:
    shards = [{"a": torch.ones(3)}, {"b": torch.ones(3)}]
    same, other = save_sharded(tmp_path / "same", shards), save_sharded(tmp_path / "other", shards[::-1])

    def load(parallel: PlayedRank) -> None:
        views = {name: CheckpointView((3,), torch.empty(3)) for name in "ab"}
        reader = SafetensorsReader(other if parallel.rank == 2 else same)
        try:
            stream_tensors(reader, layout_of({name: TensorSource(name) for name in "ab"}), views, parallel=parallel)
        finally:
            if parallel.rank == 2:
                parallel.barrier.abort()

    *_, error = play(load)
    assert isinstance(error, WeightsError) and "Rank 2 reads other files than rank 0" in str(error)
