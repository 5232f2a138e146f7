# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The smaller copy of a checkpoint in bf16 or in 8 bits: fewer bytes to read at every later start.

It is written while the original is loaded for the first time, tensor by tensor, and
holds exactly the bits that loading the original would give. It carries the original's
identity, so a rollout made with one is continued with the other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch
from torch import Tensor

from lingbot_core import preflight
from lingbot_core.errors import ResourceError, WeightsError
from lingbot_core.readers import IDENTITY_KEY
from lingbot_core.safetensors_io import SafetensorsWriter, read_header

_log = logging.getLogger(__name__)

MIN_BYTES = 2**30
"""Smaller checkpoints are not copied: reading them costs nothing."""

LOCAL = "local"
"""Group of copies whose original did not come from the hub."""


Kind = Literal["bf16", "fp8"]
"""What a copy holds: all tensors in bf16, or the large ones in 8 bits with their scales."""

TableEntry = tuple[tuple[int, ...], torch.dtype]
"""Shape and dtype of a tensor in a copy."""


def copy_path(cache_dir: Path, kind: Kind, group: str, identity: str) -> Path:
    """Where the copy of a checkpoint is kept.

    Args:
        cache_dir: Our cache folder.
        kind: What it holds.
        group: Repository of the original, or :data:`LOCAL`.
        identity: Identity of the original.
    """
    return cache_dir / kind / group.replace("/", "--") / f"{identity[:24]}.safetensors"


def matching_copy(cache_dir: Path, kind: Kind, group: str, identity: str) -> Path | None:
    """The whole copy of a checkpoint, or None; a damaged one is deleted."""
    path = copy_path(cache_dir, kind, group, identity)
    if not path.is_file():
        return None
    try:
        whole = read_header(path).metadata.get(IDENTITY_KEY) == identity
    except WeightsError as error:
        _log.warning("%s", error)
        whole = False
    if not whole:
        _log.warning("Deleting the damaged %s copy %s; it is made again.", kind, path)
        path.unlink(missing_ok=True)
    return path if whole else None


def newest_copy(cache_dir: Path, kind: Kind, repo: str) -> Path | None:
    """The latest whole copy of a repository's checkpoint, for when the original is gone."""
    folder = copy_path(cache_dir, kind, repo, "").parent
    for path in sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            read_header(path)
        except WeightsError as error:
            _log.warning("%s", error)
            continue
        return path
    return None


class WeightCopy:
    """Writes a copy while a checkpoint streams by; never stands in the way of loading.

    Use as a context manager around the loading and pass :meth:`add` each tensor. When
    there is no room, another process writes the same copy, or the disk fails, nothing
    is kept and a log line says so.

    Args:
        path: The copy, from :func:`copy_path`.
        kind: What it is called in the log.
        tensors: Shape and dtype by native tensor name.
        metadata: Free text for its header; must hold the original's identity.
    """

    def __init__(self, path: Path, kind: Kind, tensors: Mapping[str, TableEntry], metadata: Mapping[str, str]) -> None:
        assert IDENTITY_KEY in metadata, metadata
        self._path, self._kind, self._tensors = path, kind, tensors
        self._num_bytes = sum(dtype.itemsize * torch.Size(shape).numel() for shape, dtype in tensors.values())
        self._writer: SafetensorsWriter | None = SafetensorsWriter(path, tensors, metadata)

    def __enter__(self) -> WeightCopy:
        from filelock import FileLock, Timeout

        try:
            purpose = f"keep the weights' {self._kind} copy"
            preflight.check_disk(self._path, self._num_bytes, purpose, "LINGBOT_CACHE_DIR")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path.with_suffix(".lock"))
            self._lock.acquire(blocking=False)
        except (ResourceError, OSError, Timeout) as error:
            _log.info("No %s copy is kept: %s", self._kind, error)
            self._writer = None
            return self
        try:
            if self._writer is not None:
                self._writer.__enter__()
        except OSError as error:
            self._give_up(error)
        return self

    def add(self, name: str, tensor: Tensor) -> None:
        """Store one native tensor, rounded to the dtype it has in the copy."""
        if self._writer is None:
            return
        try:
            self._writer.write(name, tensor.to("cpu", self._tensors[name][1]))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _log.warning("No %s copy is kept in %s: %s", self._kind, self._path.parent, error)
        assert self._writer is not None
        self._writer.discard()
        self._writer = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)
        except OSError as full:
            _log.warning("No %s copy is kept in %s: %s", self._kind, self._path.parent, full)
        finally:
            lock = getattr(self, "_lock", None)
            if lock is not None:
                lock.release()
