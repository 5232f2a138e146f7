# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingbot_core import convert
from lingbot_core.readers import IDENTITY_KEY, SafetensorsReader

IDENTITY = "0123456789abcdef" * 4


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"a": torch.randn(3, 4, generator=generator), "b": torch.randn(5, generator=generator)}


def write_copy(path: Path, tensors: dict[str, Tensor]) -> None:
    table = {name: (tuple(tensor.shape), torch.bfloat16) for name, tensor in tensors.items()}
    with convert.WeightCopy(path, "bf16", table, {IDENTITY_KEY: IDENTITY}) as copy:
        for name, tensor in tensors.items():
            copy.add(name, tensor)


def test_copy_when_written_holds_rounded_tensors_and_the_identity(tmp_path: Path, tensors: dict[str, Tensor]):
    path = convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY)
    write_copy(path, tensors)
    assert convert.matching_copy(tmp_path, "bf16", "org/repo", IDENTITY) == path
    assert convert.newest_copy(tmp_path, "bf16", "org/repo") == path
    reader = SafetensorsReader(path)
    assert reader.identity() == IDENTITY
    assert all(torch.equal(reader.read(name), tensor.bfloat16()) for name, tensor in tensors.items())


def test_copy_when_original_is_another_is_not_found(tmp_path: Path, tensors: dict[str, Tensor]):
    write_copy(convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY), tensors)
    assert convert.matching_copy(tmp_path, "bf16", "org/repo", IDENTITY[::-1]) is None
    assert convert.matching_copy(tmp_path, "bf16", "org/other", IDENTITY) is None
    assert convert.newest_copy(tmp_path, "bf16", convert.LOCAL) is None


def test_copy_when_damaged_is_deleted_and_not_used(tmp_path: Path, tensors: dict[str, Tensor]):
    path = convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY)
    write_copy(path, tensors)
    path.write_bytes(path.read_bytes()[:-3])
    assert convert.newest_copy(tmp_path, "bf16", "org/repo") is None
    assert convert.matching_copy(tmp_path, "bf16", "org/repo", IDENTITY) is None
    assert not path.exists()


def test_copy_when_loading_fails_is_not_kept(tmp_path: Path, tensors: dict[str, Tensor]):
    path = convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY)
    table = {"a": ((3, 4), torch.bfloat16)}
    with (
        pytest.raises(KeyboardInterrupt),
        convert.WeightCopy(path, "bf16", table, {IDENTITY_KEY: IDENTITY}) as copy,
    ):
        copy.add("a", tensors["a"])
        raise KeyboardInterrupt
    assert not list(tmp_path.rglob("*.safetensors*"))


def test_copy_when_no_room_is_skipped_with_a_log_line(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    usage = namedtuple("Usage", "total used free")(10, 10, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    caplog.set_level("INFO")
    write_copy(convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY), tensors)
    assert not list(tmp_path.rglob("*.safetensors*")) and "No bf16 copy is kept" in caplog.text


def test_copy_when_disk_fails_while_writing_lets_loading_go_on(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*args: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("lingbot_core.safetensors_io.SafetensorsWriter.write", fail)
    write_copy(convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY), tensors)
    assert not list(tmp_path.rglob("*.safetensors*")) and "disk on fire" in caplog.text


def test_copy_when_another_process_writes_it_is_skipped(tmp_path: Path, tensors: dict[str, Tensor]):
    from filelock import FileLock

    path = convert.copy_path(tmp_path, "bf16", "org/repo", IDENTITY)
    path.parent.mkdir(parents=True)
    with FileLock(path.with_suffix(".lock")):
        write_copy(path, tensors)
    assert not path.exists()
    write_copy(path, tensors)
    assert path.exists()
