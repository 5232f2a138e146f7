# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The record store: what was generated, kept on disk under a budget.

Layout of a journal folder::

    journal.json                      {"format": 1}
    chunks/<key>.safetensors          latents, generator state, camera anchor; stats as JSON in the header
    frames/<key>.<decoder>.safetensors    uint8 frames [F, H, W, 3], memory-mapped when read
    texts/<text key>.safetensors      one text embedding

Files appear whole or not at all (written beside, then renamed) and carry a checksum.
A damaged file is named in a warning, skipped and made again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lingbot_core.errors import JournalError, OutputError
from lingbot_core.rollout import ChunkRecord, Rollout

log = logging.getLogger(__name__)

JOURNAL_FORMAT = 1
"""Format of the files of a journal."""

DEFAULT_BUDGET_GIB = 5.0
"""Disk space that a journal may take unless told otherwise."""

_PART_SUFFIX = ".part"
_STALE_PART_SEC = 3600.0  # no file takes so long to write

_DISK_RESERVE_BYTES = 2**28

_FOLDERS = ("frames", "texts", "chunks")  # in the order in which they are given up


class RecordStore(Protocol):
    """Keeps chunk records, frames and text embeddings by key."""

    def read_chunk(self, key: str) -> ChunkRecord | None: ...

    def write_chunk(self, record: ChunkRecord) -> None: ...

    def read_frames(self, key: str, decoder: str) -> np.ndarray | None: ...

    def write_frames(self, key: str, decoder: str, frames: np.ndarray) -> None: ...

    def read_text(self, key: str) -> Tensor | None: ...

    def write_text(self, key: str, embedding: Tensor) -> None: ...


def read_known_chunks(store: RecordStore, rollout: Rollout) -> None:
    """Append to a rollout the longest beginning that the store knows."""
    for key in rollout.keys[rollout.num_known :]:
        record = store.read_chunk(key)
        if record is None:
            return
        rollout.append(record)


class MemoryStore:
    """Records and texts of this process only; frames are not kept."""

    def __init__(self) -> None:
        self._chunks: dict[str, ChunkRecord] = {}
        self._texts: dict[str, Tensor] = {}

    def read_chunk(self, key: str) -> ChunkRecord | None:
        """The record of ``key``, or None."""
        return self._chunks.get(key)

    def write_chunk(self, record: ChunkRecord) -> None:
        """Keep a record."""
        self._chunks[record.key] = record

    def read_frames(self, key: str, decoder: str) -> np.ndarray | None:
        """None: frames are decoded again."""
        return None

    def write_frames(self, key: str, decoder: str, frames: np.ndarray) -> None:
        """Nothing: frames are not kept."""

    def read_text(self, key: str) -> Tensor | None:
        """The embedding of ``key``, or None."""
        return self._texts.get(key)

    def write_text(self, key: str, embedding: Tensor) -> None:
        """Keep an embedding."""
        self._texts[key] = embedding


@dataclass
class _Entry:
    """A file that the budget counts."""

    num_bytes: int
    last_used_sec: float


class Journal:
    """A :class:`RecordStore` in a folder.

    Args:
        folder: Made when missing.
        budget_gib: Disk space it may take. Beyond it the least recently used files go:
            frames first, then texts, then chunks. On a disk that is nearly full no frames are kept.

    Raises:
        OutputError: The folder cannot be made or written to.
        JournalError: The folder holds a journal of another format.
    """

    def __init__(self, folder: Path, budget_gib: float = DEFAULT_BUDGET_GIB) -> None:
        self.folder = Path(folder)
        self.budget_bytes = int(budget_gib * 2**30)
        self._open_folder()
        self._entries = {path: entry for path, entry in self._scan()}
        self._num_bytes = sum(entry.num_bytes for entry in self._entries.values())
        self._is_short_of_disk = False
        self._make_room()

    @property
    def num_bytes(self) -> int:
        """Disk space in use."""
        return self._num_bytes

    def read_chunk(self, key: str) -> ChunkRecord | None:
        """The record of ``key``, or None when it is unknown or damaged.

        Raises:
            JournalError: The file holds a record of another rollout or variant.
        """
        path = self._path("chunks", key)
        tensors, header = self._read(path)
        if tensors is None:
            return None
        if header.get("key") != key:
            raise JournalError(
                f"The journal file {path} holds another record than its name says.",
                got=f"a record of another rollout with key {header.get('key')}",
                do="It was renamed or copied from another journal: delete it, or choose another journal folder.",
            )
        return ChunkRecord(
            key=key,
            parent=header["parent"],
            index=header["index"],
            latents=tensors["latents"],
            rng_state=tensors["rng_state"],
            camera_anchor=tensors["camera_anchor"],
            text_id=header["text_id"],
            stats=header["stats"],
        )

    def write_chunk(self, record: ChunkRecord) -> None:
        """Keep a record."""
        tensors = {
            "latents": record.latents,
            "rng_state": record.rng_state,
            "camera_anchor": record.camera_anchor,
        }
        header = {
            "key": record.key,
            "parent": record.parent,
            "index": record.index,
            "text_id": record.text_id,
            "stats": dict(record.stats),
        }
        self._write(self._path("chunks", record.key), tensors, header)

    def read_frames(self, key: str, decoder: str) -> np.ndarray | None:
        """Frames ``[F, H, W, 3]`` as ``decoder`` made them, memory-mapped, or None."""
        tensors, _ = self._read(self._path("frames", f"{key}.{decoder}"))
        return None if tensors is None else tensors["frames"].numpy()

    def write_frames(self, key: str, decoder: str, frames: np.ndarray) -> None:
        """Keep the frames that ``decoder`` made of a chunk, unless the disk is nearly full."""
        free = shutil.disk_usage(self.folder).free
        if free - frames.nbytes < _DISK_RESERVE_BYTES:  # the video needs the rest, and frames can be decoded again
            if not self._is_short_of_disk:
                log.warning("The disk of %s is nearly full: the journal keeps no more frames.", self.folder)
            self._is_short_of_disk = True
            return
        self._write(self._path("frames", f"{key}.{decoder}"), {"frames": torch.from_numpy(frames)}, {})

    def read_text(self, key: str) -> Tensor | None:
        """The embedding of ``key``, or None."""
        tensors, _ = self._read(self._path("texts", key))
        return None if tensors is None else tensors["embedding"]

    def write_text(self, key: str, embedding: Tensor) -> None:
        """Keep a text embedding."""
        self._write(self._path("texts", key), {"embedding": embedding}, {})

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.safetensors"

    def _open_folder(self) -> None:
        marker = self.folder / "journal.json"
        try:
            for kind in _FOLDERS:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
            if not marker.exists():
                _replace(marker, lambda path: path.write_text(json.dumps({"format": JOURNAL_FORMAT}) + "\n"))
        except OSError as error:
            raise OutputError(
                f"The journal folder {self.folder} cannot be written to.",
                got=str(error),
                do="Choose another folder with --journal or --output-dir, or change its permissions.",
            ) from error
        try:
            found = json.loads(marker.read_text()).get("format")
        except (OSError, ValueError, AttributeError):
            found = "an unreadable journal.json"
        if found != JOURNAL_FORMAT:
            raise JournalError(
                f"The journal in {self.folder} was made by another version.",
                got=f"format {found}",
                need=f"format {JOURNAL_FORMAT}",
                do="Choose another folder with --journal, or delete this one.",
            )

    def _scan(self) -> Iterable[tuple[Path, _Entry]]:
        for kind in _FOLDERS:
            for item in os.scandir(self.folder / kind):
                with suppress(OSError):  # another run on the same journal may delete files at any time
                    status = item.stat()
                    if item.name.endswith(".safetensors"):
                        yield Path(item.path), _Entry(status.st_size, status.st_mtime)
                    elif item.name.endswith(_PART_SUFFIX) and time.time() - status.st_mtime > _STALE_PART_SEC:
                        os.unlink(item.path)  # of a run that was killed

    def _read(self, path: Path) -> tuple[dict[str, Tensor] | None, dict]:
        """Tensors (memory-mapped) and header of a file; (None, {}) when missing or damaged."""
        if not path.exists():
            return None, {}
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["lingbot_world"])
                if header["format"] > JOURNAL_FORMAT:
                    log.warning("Journal file %s is of a newer version; it is skipped and made again.", path)
                    return None, {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if _checksum(tensors) != header["checksum"]:
                raise ValueError("its checksum does not match")
        except FileNotFoundError:  # deleted just now by another run on the same journal
            return None, {}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            log.warning("Journal file %s is damaged (%s); it is skipped and made again.", path, error)
            return None, {}
        self._touch(path)
        return tensors, header

    def _touch(self, path: Path) -> None:
        """Mark a file as used now."""
        try:
            os.utime(path)
            status = path.stat()
        except OSError:  # a read-only journal still serves; only its order of use is lost
            return
        known = self._entries.get(path)
        self._entries[path] = _Entry(status.st_size, status.st_mtime)
        self._num_bytes += status.st_size - (known.num_bytes if known else 0)

    def _write(self, path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, object]) -> None:
        """Write a file; a full disk costs the record, not the run."""
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        text = json.dumps({"format": JOURNAL_FORMAT, "checksum": _checksum(whole), **header})
        try:
            _replace(path, lambda part: save_file(whole, part, metadata={"lingbot_world": text}))
            self._touch(path)
        except (OSError, SafetensorError) as error:
            log.warning("The journal could not keep %s (%s); the run goes on without it.", path.name, error)
            return
        self._make_room()

    def _make_room(self) -> None:
        """Delete files until the budget holds."""
        for kind in _FOLDERS:
            if self._num_bytes <= self.budget_bytes:
                return
            paths = [path for path in self._entries if path.parent.name == kind]
            for path in self._chunks_by_use(paths) if kind == "chunks" else self._by_use(paths):
                if self._num_bytes <= self.budget_bytes:
                    return
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:  # a read-only folder, or on Windows a file that is being read
                    log.warning("The journal is over its budget and %s cannot be deleted: %s", path, error)
                    return
                self._num_bytes -= self._entries.pop(path).num_bytes

    def _by_use(self, paths: list[Path]) -> list[Path]:
        return sorted(paths, key=lambda path: self._entries[path].last_used_sec)

    def _chunks_by_use(self, paths: list[Path]) -> list[Path]:
        """Chunk files, least recently used first, no chunk before those that follow it.

        A chunk is used whenever one that follows it is: without its beginning a rollout
        is worth nothing.
        """
        headers = {path: _read_header(path) for path in paths}
        used_sec = {path: self._entries[path].last_used_sec for path in paths}
        for path in reversed(self._by_use(paths)):  # newest first, so each walk stops at the first newer ancestor
            parent = self._path("chunks", headers[path].get("parent", ""))
            while parent in used_sec and used_sec[parent] < used_sec[path]:
                used_sec[parent] = used_sec[path]
                parent = self._path("chunks", headers[parent].get("parent", ""))
        return sorted(paths, key=lambda path: (used_sec[path], -headers[path].get("index", 0)))


def _read_header(path: Path) -> dict:
    """Our header of a file, empty when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["lingbot_world"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return {}


def _replace(path: Path, write) -> None:
    """Write a file beside its place, then move it there in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART_SUFFIX}")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 over the bytes of all tensors, by name."""
    value = 0
    for name in sorted(tensors):
        data = tensors[name].flatten().view(torch.uint8).numpy().data
        value = zlib.crc32(data, zlib.crc32(name.encode(), value))
    return value
