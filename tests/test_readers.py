# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lingbot_core.errors import WeightsError
from lingbot_core.readers import PickleReader, SafetensorsReader, open_weights
from tests.shards import save_sharded


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
