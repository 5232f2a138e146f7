# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lingbot_core.errors import WeightsError
from lingbot_core.safetensors_io import DTYPES, SafetensorsWriter, read_header, read_tensor


def sample_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, generator=generator) * 4
    tensors = {f"x_{name}": values.to(dtype) for name, dtype in DTYPES.items()}
    return {**tensors, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}


def test_read_tensor_when_written_by_safetensors_gives_the_same_bits(tmp_path: Path):
    save_file(sample_tensors(), tmp_path / "x.safetensors", metadata={"note": "hello"})
    header = read_header(tmp_path / "x.safetensors")
    assert header.metadata == {"note": "hello"}
    for key, expected in sample_tensors().items():
        got = read_tensor(tmp_path / "x.safetensors", header.entries[key])
        assert got.dtype == expected.dtype and got.shape == expected.shape
        assert torch.equal(got.view(torch.uint8) if got.ndim else got, expected.view(torch.uint8) if got.ndim else got)


def test_writer_when_read_by_safetensors_gives_the_same_bits(tmp_path: Path):
    tensors = sample_tensors()
    path = tmp_path / "new" / "x.safetensors"
    table = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
    with SafetensorsWriter(path, table, {"note": "hello"}) as writer:
        for name in reversed(list(tensors)):
            writer.write(name, tensors[name])
        assert not path.exists()
    loaded = load_file(path)
    assert set(loaded) == set(tensors)
    assert all(torch.equal(loaded[name].float(), tensors[name].float()) for name in tensors)
    with safe_open(path, "pt") as file:
        assert file.metadata()["note"] == "hello"


def test_writer_when_body_raises_leaves_nothing(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(KeyboardInterrupt), SafetensorsWriter(path, {"a": ((2,), torch.float32)}):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_read_header_when_file_is_truncated_names_the_first_tensor_that_is_not_whole(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"first": torch.zeros(100), "second": torch.zeros(100), "third": torch.zeros(100)}, path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 500)
    with pytest.raises(WeightsError, match="truncated: the tensor second is not whole"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (struct.pack("<Q", 1000) + b"{", "truncated"),
        (b"<!DOCTYPE html><html></html>", "not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (struct.pack("<Q", 4) + b"[1, ", "not a safetensors file"),
    ],
)
def test_read_header_when_content_is_wrong_says_how(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "contradicts itself: the tensor a"),
        ({"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}, "The tensor a in .* dtype"),
    ],
)
def test_read_header_when_entry_is_wrong_names_the_tensor(tmp_path: Path, entry: dict, message: str):
    header = json.dumps({"a": entry}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(WeightsError, match=message):
        read_header(tmp_path / "x.safetensors")


def test_read_header_when_missing_says_so(tmp_path: Path):
    with pytest.raises(WeightsError, match="missing"):
        read_header(tmp_path / "none.safetensors")
