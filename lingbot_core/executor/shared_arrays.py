# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Frames from one process to another through memory that both see.

Each array is a file of its own in a private folder, in ``/dev/shm`` where there is one. Who takes
an array maps it and removes the file, so that nothing is left but the mapping; what nobody took goes
with the folder.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from lingbot_core.executor.processes import ProcessId

_PREFIX = "lingbot-world-"
_MEMORY_FOLDER = Path("/dev/shm")


@dataclass(frozen=True)
class SharedArray:
    """Where an array lies."""

    path: str
    """Its file."""

    shape: tuple[int, ...]
    """Its shape."""

    dtype: str
    """Its dtype in numpy's words."""


def make_private_folder(host: ProcessId, *, in_memory: bool) -> Path:
    """A new folder that only this user can open; folders whose host has ended are removed.

    Args:
        host: The process that will remove it.
        in_memory: In shared memory if the system has any.
    """
    parent = Path(tempfile.gettempdir())
    if in_memory and os.access(_MEMORY_FOLDER, os.W_OK):
        parent = _MEMORY_FOLDER
    for folder in parent.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("_")[0]  # what follows may have more of "_"
        if "-" in owner and not ProcessId.parse(owner).is_running():
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{host}_", dir=parent))


class ArrayFolder:
    """Shares arrays through a folder.

    Args:
        folder: Where files go first.
        spare: Where they go when that is full: containers often have 64 MB of shared memory.
    """

    def __init__(self, folder: Path, spare: Path) -> None:
        self._folders = (folder, spare)
        self._numbers = itertools.count()

    def share(self, array: np.ndarray) -> SharedArray:
        """Copy an array to where the other process can take it, once."""
        assert array.size, "an empty array cannot be mapped"
        name = f"array-{os.getpid()}-{next(self._numbers)}"
        data = np.ascontiguousarray(array)
        try:
            path = _write(self._folders[0] / name, data)
        except OSError:
            path = _write(self._folders[1] / name, data)
        return SharedArray(str(path), data.shape, data.dtype.str)


def take(shared: SharedArray) -> np.ndarray:
    """Map an array that another process has shared; its memory lives as long as the result."""
    path = Path(shared.path)
    dtype = np.dtype(shared.dtype)
    expected = prod(shared.shape) * dtype.itemsize
    assert path.stat().st_size == expected, (path.stat().st_size, expected)
    array = np.memmap(path, dtype=dtype, mode="c", shape=shared.shape)  # private: the taker may write to it
    path.unlink()
    return array


def _write(path: Path, data: np.ndarray) -> Path:
    """Written, not mapped: a full disk is then an error and not a signal that ends the process."""
    try:
        with path.open("wb") as file:
            file.write(data.data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path
