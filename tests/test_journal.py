# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import os
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lingbot_core.errors import JournalError, OutputError
from lingbot_core.journal import Journal, MemoryStore
from lingbot_core.rollout import ChunkRecord

Usage = namedtuple("Usage", "total used free")


def make_record(key: str = "aa", parent: str = "root", index: int = 0, dtype=torch.bfloat16) -> ChunkRecord:
    return ChunkRecord(
        key=key,
        parent=parent,
        index=index,
        latents=torch.randn(3, 16, 4, 6).to(dtype),
        rng_state=torch.Generator().get_state(),
        camera_anchor=torch.eye(4, dtype=torch.float64),
        text_id="text",
        stats={"diffuse_ms": 1.5, "pass_ms": [1.0, 0.5]},
    )


def assert_same(a: ChunkRecord | None, b: ChunkRecord) -> None:
    assert a is not None
    for name in ("latents", "rng_state", "camera_anchor"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype and torch.equal(x, y), name
    assert replace(a, latents=b.latents, rng_state=b.rng_state, camera_anchor=b.camera_anchor) == b


@pytest.fixture(params=["memory", "journal"])
def store(request, tmp_path: Path):
    return MemoryStore() if request.param == "memory" else Journal(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_store_returns_records_and_texts_as_written(store, dtype):
    record, text = make_record(dtype=dtype), torch.randn(512, 64).bfloat16()
    store.write_chunk(record)
    store.write_text("t", text)
    assert_same(store.read_chunk("aa"), record)
    assert torch.equal(store.read_text("t"), text)
    assert store.read_chunk("bb") is None and store.read_text("u") is None


def test_journal_when_opened_again_knows_everything(tmp_path: Path):
    record, frames = make_record(), np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    journal = Journal(tmp_path)
    journal.write_chunk(record)
    journal.write_frames("aa", "taehv-1", frames)
    again = Journal(tmp_path)
    assert_same(again.read_chunk("aa"), record)
    read = again.read_frames("aa", "taehv-1")
    assert read is not None and np.array_equal(read, frames)
    assert again.read_frames("aa", "another decoder") is None
    assert again.num_bytes == journal.num_bytes > 0


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[:-10]
    elif how == "bit flipped":
        data[-5] ^= 1
    elif how == "empty":
        data = bytearray()
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "bit flipped", "empty"])
def test_journal_when_a_file_is_damaged_names_and_skips_it(tmp_path: Path, caplog, how):
    journal = Journal(tmp_path)
    journal.write_chunk(make_record())
    path = tmp_path / "chunks" / "aa.safetensors"
    damage(path, how)
    with caplog.at_level(logging.WARNING):
        assert journal.read_chunk("aa") is None
    assert str(path) in caplog.text and "damaged" in caplog.text
    journal.write_chunk(make_record())  # made again
    assert journal.read_chunk("aa") is not None


def test_journal_when_a_record_is_of_a_newer_version_skips_it(tmp_path: Path, caplog, monkeypatch):
    journal = Journal(tmp_path)
    monkeypatch.setattr("lingbot_core.journal.JOURNAL_FORMAT", 99)
    journal.write_chunk(make_record())
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        assert journal.read_chunk("aa") is None
    assert "newer version" in caplog.text


def test_journal_when_the_folder_is_of_another_version_says_so(tmp_path: Path):
    (tmp_path / "journal.json").write_text(json.dumps({"format": 7}))
    with pytest.raises(JournalError, match=r"another version.*format 7.*format 1.*--journal"):
        Journal(tmp_path)


def test_journal_when_a_record_was_renamed_refuses_it(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.write_chunk(make_record("aa"))
    os.rename(tmp_path / "chunks" / "aa.safetensors", tmp_path / "chunks" / "bb.safetensors")
    with pytest.raises(JournalError, match=r"another record.*aa"):
        journal.read_chunk("bb")


def test_journal_when_the_folder_cannot_be_made_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to.*--journal"):
        Journal(tmp_path / "file" / "journal")


def test_journal_when_the_disk_is_full_warns_and_goes_on(tmp_path: Path, caplog, monkeypatch):
    journal = Journal(tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lingbot_core.journal.save_file", full)
    with caplog.at_level(logging.WARNING):
        journal.write_chunk(make_record())
    assert "No space left" in caplog.text
    assert not list((tmp_path / "chunks").iterdir())


def test_journal_over_budget_gives_up_oldest_frames_before_any_latents(tmp_path: Path):
    frames = np.zeros((9, 16, 16, 3), dtype=np.uint8)
    journal = Journal(tmp_path, budget_gib=1)
    for name in ("a", "b", "c"):
        journal.write_chunk(make_record(name))
        journal.write_frames(name, "d", frames)
        time.sleep(0.02)
    journal.read_frames("a", "d")  # now "b" is the least recently used
    journal.budget_bytes = journal.num_bytes - 1
    journal.write_text("t", torch.zeros(1, 1))
    assert journal.read_frames("b", "d") is None
    assert journal.read_frames("a", "d") is not None and journal.read_frames("c", "d") is not None
    assert all(journal.read_chunk(name) for name in ("a", "b", "c"))


def test_journal_over_budget_drops_a_path_from_its_end(tmp_path: Path):
    journal = Journal(tmp_path, budget_gib=1)
    for index in range(4):  # an old path, its beginning read again later: chunk 0 is used as lately as chunk 3
        journal.write_chunk(make_record(f"k{index}", f"k{index - 1}", index))
    time.sleep(0.02)
    journal.write_chunk(make_record("young", "root", 0))
    one = journal.num_bytes // 5
    journal.budget_bytes = 3 * one + one // 2
    journal._make_room()
    left = sorted(path.stem for path in (tmp_path / "chunks").iterdir())
    assert left == ["k0", "k1", "young"]
    assert journal.num_bytes <= journal.budget_bytes


def test_journal_when_a_text_lies_in_place_of_a_record_refuses_it(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.write_text("t", torch.zeros(4, 4))
    os.rename(tmp_path / "texts" / "t.safetensors", tmp_path / "chunks" / "aa.safetensors")
    with pytest.raises(JournalError, match="another record"):
        journal.read_chunk("aa")


def test_journal_when_another_run_deletes_its_files_goes_on_quietly(tmp_path: Path, caplog, monkeypatch):
    journal = Journal(tmp_path)
    for key in ("aa", "bb", "cc"):
        journal.write_chunk(make_record(key))
    (tmp_path / "chunks" / "aa.safetensors").unlink()
    assert journal.read_chunk("aa") is None
    monkeypatch.setattr(Path, "exists", lambda path: True)  # deleted just behind this look
    assert journal.read_chunk("aa") is None
    monkeypatch.setattr(os, "utime", lambda path: Path(path).unlink())  # deleted just behind the reading
    assert journal.read_chunk("bb") is not None
    monkeypatch.undo()
    journal.budget_bytes = 0
    journal.write_text("t", torch.zeros(4, 4))  # has to make room, of files that are gone too
    assert journal.num_bytes == 0 and not caplog.records


def test_journal_when_a_file_cannot_be_deleted_warns_and_goes_on(tmp_path: Path, caplog, monkeypatch):
    journal = Journal(tmp_path)
    journal.write_chunk(make_record())

    def locked(path: Path, missing_ok: bool = False):
        raise PermissionError(13, "The file is in use", str(path))

    monkeypatch.setattr(Path, "unlink", locked)
    journal.budget_bytes = 0
    journal._make_room()
    assert "cannot be deleted" in caplog.text and journal.read_chunk("aa") is not None


def test_journal_removes_what_a_killed_run_left_half_written(tmp_path: Path):
    Journal(tmp_path)
    old, new = (tmp_path / "frames" / f".{name}.safetensors.1.part" for name in ("old", "new"))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    Journal(tmp_path)
    assert not old.exists() and new.exists()


def test_journal_when_the_disk_is_nearly_full_leaves_the_rest_to_the_video(tmp_path: Path, caplog, monkeypatch):
    journal = Journal(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2**40, 2**40 - 2**27, 2**27))
    for key in ("aa", "bb"):
        journal.write_chunk(make_record(key))
        journal.write_frames(key, "taehv", np.zeros((9, 8, 8, 3), np.uint8))
        assert journal.read_chunk(key) is not None and journal.read_frames(key, "taehv") is None
    assert caplog.text.count("nearly full") == 1
