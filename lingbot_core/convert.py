# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The bf16 copy of an fp32 checkpoint: half the bytes to read at every later start.

It is written while the original is loaded for the first time, tensor by tensor, and
holds exactly the bits that loading the original would give. It carries the original's
identity, so a rollout made with one is continued with the other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from lingbot_core import preflight
from lingbot_core.errors import ResourceError, WeightsError
from lingbot_core.readers import IDENTITY_KEY
from lingbot_core.safetensors_io import SafetensorsWriter, read_header

_log = logging.getLogger(__name__)

MIN_BYTES = 2**30
"""Smaller fp32 checkpoints are not copied: reading them costs nothing."""

LOCAL = "local"
"""Group of copies whose original did not come from the hub."""


def copy_path(cache_dir: Path, group: str, identity: str) -> Path:
    """Where the copy of a checkpoint is kept.

    Args:
        cache_dir: Our cache folder.
        group: Repository of the original, or :data:`LOCAL`.
        identity: Identity of the original.
    """
    return cache_dir / "bf16" / group.replace("/", "--") / f"{identity[:24]}.safetensors"


def matching_copy(cache_dir: Path, group: str, identity: str) -> Path | None:
    """The whole copy of a checkpoint, or None; a damaged one is deleted."""
    path = copy_path(cache_dir, group, identity)
    if not path.is_file():
        return None
    try:
        whole = read_header(path).metadata.get(IDENTITY_KEY) == identity
    except WeightsError as error:
        _log.warning("%s", error)
        whole = False
    if not whole:
        _log.warning("Deleting the damaged bf16 copy %s; it is made again.", path)
        path.unlink(missing_ok=True)
    return path if whole else None


def newest_copy(cache_dir: Path, repo: str) -> Path | None:
    """The latest whole copy of a repository's checkpoint, for when the original is gone."""
    folder = copy_path(cache_dir, repo, "").parent
    for path in sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            read_header(path)
        except WeightsError as error:
            _log.warning("%s", error)
            continue
        return path
    return None


class Bf16Copy:
    """Writes a copy while a checkpoint streams by; never stands in the way of loading.

    Use as a context manager around the loading and pass :meth:`add` each tensor. When
    there is no room, another process writes the same copy, or the disk fails, nothing
    is kept and a log line says so.

    Args:
        path: The copy, from :func:`copy_path`.
        shapes: Shape by native tensor name.
        metadata: Free text for its header; must hold the original's identity.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> None:
        assert IDENTITY_KEY in metadata, metadata
        self._path = path
        self._num_bytes = sum(2 * torch.Size(shape).numel() for shape in shapes.values())
        self._writer: SafetensorsWriter | None = SafetensorsWriter(
            path, {name: (shape, torch.bfloat16) for name, shape in shapes.items()}, metadata
        )

    def __enter__(self) -> Bf16Copy:
        from filelock import FileLock, Timeout

        try:
            preflight.check_disk(self._path, self._num_bytes, "keep a bf16 copy of the weights", "LINGBOT_CACHE_DIR")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path.with_suffix(".lock"))
            self._lock.acquire(blocking=False)
        except (ResourceError, OSError, Timeout) as error:
            _log.info("No bf16 copy is kept: %s", error)
            self._writer = None
            return self
        try:
            if self._writer is not None:
                self._writer.__enter__()
        except OSError as error:
            self._give_up(error)
        return self

    def add(self, name: str, tensor: Tensor) -> None:
        """Store one native tensor, rounded to bf16."""
        if self._writer is None:
            return
        try:
            self._writer.write(name, tensor.to(torch.bfloat16))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _log.warning("No bf16 copy is kept in %s: %s", self._path.parent, error)
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
            _log.warning("No bf16 copy is kept in %s: %s", self._path.parent, full)
        finally:
            lock = getattr(self, "_lock", None)
            if lock is not None:
                lock.release()
