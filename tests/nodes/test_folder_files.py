# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nodes.folder_files import FolderFiles


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A tree of folders that have not been changed for a minute."""
    for name in ("b.npy", "a.npy", "photo.png", "x/y/c.npy", "x/d.txt", "empty/e.txt"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    let_settle(tmp_path / "top")
    return tmp_path / "top"


def let_settle(top: Path) -> None:
    """Date all folders back."""
    a_minute_ago = time.time() - 60
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        os.utime(folder, (a_minute_ago, a_minute_ago))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that were read."""
    names, scandir = [], os.scandir

    def note(folder: str):
        names.append(Path(folder).name)
        return scandir(folder)

    monkeypatch.setattr("nodes.folder_files.os.scandir", note)
    return names


def test_list_gives_wanted_files_of_all_folders_sorted(top: Path):
    assert FolderFiles(".npy").list(top) == ["a.npy", "b.npy", "x/y/c.npy"]


def test_list_when_asked_again_reads_no_folder(top: Path, read: list[str]):
    files = FolderFiles(".npy")
    first = files.list(top)
    assert sorted(read) == ["empty", "top", "x", "y"]
    assert files.list(top) == first and len(read) == 4


def test_list_when_a_file_comes_or_goes_reads_that_folder_only(top: Path, read: list[str]):
    files = FolderFiles(".npy")
    files.list(top)
    (top / "x" / "new.npy").write_bytes(b"")
    read.clear()
    assert files.list(top) == ["a.npy", "b.npy", "x/new.npy", "x/y/c.npy"]
    assert read == ["x"]
    (top / "x" / "y" / "c.npy").unlink()
    assert files.list(top) == ["a.npy", "b.npy", "x/new.npy"]


def test_list_when_a_folder_comes_or_goes_has_its_files(top: Path):
    files = FolderFiles(".npy")
    files.list(top)
    (top / "empty" / "deep").mkdir()
    (top / "empty" / "deep" / "f.npy").write_bytes(b"")
    assert "empty/deep/f.npy" in files.list(top)
    (top / "empty" / "deep" / "f.npy").unlink()
    (top / "empty" / "deep").rmdir()
    assert files.list(top) == ["a.npy", "b.npy", "x/y/c.npy"]


def test_list_when_a_folder_has_just_been_changed_reads_it_until_its_time_tells(top: Path, read: list[str]):
    files = FolderFiles(".npy")
    (top / "x" / "new.npy").write_bytes(b"")
    changed = os.stat(top / "x").st_mtime_ns
    files.list(top)
    (top / "x" / "newer.npy").write_bytes(b"")
    os.utime(top / "x", ns=(changed, changed))  # as when both come within one tick of the clock
    assert "x/newer.npy" in files.list(top)
    let_settle(top)
    files.list(top)
    read.clear()
    files.list(top)
    assert not read


def test_list_when_the_folder_is_not_there_is_empty(tmp_path: Path):
    assert FolderFiles(".npy").list(tmp_path / "none") == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_list_does_not_go_round_in_links(top: Path):
    (top / "x" / "loop").symlink_to(top, target_is_directory=True)
    (top / "linked.npy").symlink_to(top / "a.npy")
    assert FolderFiles(".npy").list(top) == ["a.npy", "b.npy", "linked.npy", "x/y/c.npy"]
