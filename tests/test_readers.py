# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_core.errors import WeightsError
from lingbot_core.layouts.base import CheckpointView, Layout, TensorSource
from lingbot_core.readers import PickleReader, SafetensorsReader, open_weights
from lingbot_core.weight_stream import materialize, stream_tensors


def save_sharded(folder: Path, shards: list[dict[str, Tensor]]) -> Path:
    """Write shards and their index as published; return the index."""
    folder.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for number, tensors in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def layout_of(sources: Mapping[str, TensorSource]) -> Layout[None]:
    return Layout("test", None, sources)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return save_sharded(tmp_path, [{"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}, {"c": torch.zeros(5)}])


def test_reader_when_sharded_sees_all_tensors_in_file_order(index: Path):
    reader = SafetensorsReader(index)
    assert reader.shapes() == {"a": (2, 3), "b": (4,), "c": (5,)}
    assert set(reader.dtypes().values()) == {torch.float32}
    assert torch.equal(reader.read("a"), torch.arange(6.0).view(2, 3))
    assert [file.name for file in reader.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_reader_when_shard_is_missing_names_it_and_a_tensor(index: Path):
    (index.parent / "model-00002-of-00002.safetensors").rename(index.parent / "model-2-of-2.safetensors")
    with pytest.raises(WeightsError, match="model-00002-of-00002.safetensors .* missing.* the tensor c"):
        SafetensorsReader(index)


def test_reader_when_shards_are_swapped_names_the_tensor(index: Path):
    first, second = (index.parent / f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    other = index.parent / "other"
    first.rename(other)
    second.rename(first)
    other.rename(second)
    with pytest.raises(WeightsError, match="does not hold the tensor a"):
        SafetensorsReader(index)


def test_reader_when_shard_is_truncated_names_the_tensor(index: Path):
    shard = index.parent / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="model-00002-of-00002.* truncated: the tensor c"):
        SafetensorsReader(index)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"a": "../b"}}']
)
def test_reader_when_index_is_wrong_raises(tmp_path: Path, content: str):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors\.index\.json"):
        SafetensorsReader(path)


def test_reader_identity_depends_on_names_sizes_and_header(tmp_path: Path):
    identities = []
    for folder, tensors in (
        ("one", {"a": torch.zeros(4)}),
        ("two", {"a": torch.ones(4)}),
        ("three", {"b": torch.zeros(4)}),
    ):
        (tmp_path / folder).mkdir()
        save_file(tensors, tmp_path / folder / "x.safetensors")
        identities.append(SafetensorsReader(tmp_path / folder / "x.safetensors").identity())
    assert identities[0] == identities[1] != identities[2]
    (tmp_path / "one" / "x.safetensors").rename(tmp_path / "one" / "y.safetensors")
    assert SafetensorsReader(tmp_path / "one" / "y.safetensors").identity() != identities[0]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_pickle_reader_when_state_dict_reads_tensors(tmp_path: Path, wrap: bool, zipped: bool):
    state = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    torch.save({"state_dict": state} if wrap else state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    reader = open_weights(tmp_path / "x.pth")
    assert reader.shapes() == {"a": (4,), "b": (2, 2)}
    assert torch.equal(reader.read("a"), state["a"])
    assert reader.identity() == PickleReader(tmp_path / "x.pth").identity()


class Malicious:
    """Would make a file if it were unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_pickle_reader_when_objects_inside_refuses_without_running_them(tmp_path: Path, save):
    save({"a": Malicious(tmp_path / "made")}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="Python objects"):
        PickleReader(tmp_path / "x.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_pickle_reader_when_truncated_says_so(tmp_path: Path, keep: int):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="truncated|damaged"):
        PickleReader(path)


def test_pickle_reader_when_no_state_dict_says_so(tmp_path: Path):
    torch.save([torch.zeros(1)], tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        PickleReader(tmp_path / "x.pth")


def test_open_weights_when_unknown_suffix_raises(tmp_path: Path):
    with pytest.raises(WeightsError, match="x.gguf"):
        open_weights(tmp_path / "x.gguf")


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
