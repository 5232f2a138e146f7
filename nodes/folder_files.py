# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists the files of a folder as often as the host asks, which is at every prompt, without reading it each time.

Knows nothing of ComfyUI.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_SETTLED_NS = 2_000_000_000
"""The coarsest clock of files: a folder changed less than so long ago may change again without a newer time."""


@dataclass(frozen=True)
class _Contents:
    """What one folder holds."""

    changed_ns: int
    """When it was last changed, by its own clock; -1 when that cannot be relied on yet."""

    files: tuple[str, ...]
    """Paths of the wanted files."""

    folders: tuple[str, ...]
    """Paths of the folders in it, links left out."""


class FolderFiles:
    """Files of one kind below a folder. Asked again, only folders that have changed are read.

    Args:
        suffix: What their names end in.
    """

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._known: dict[str, _Contents] = {}
        """By path of the folder, as of the last listing."""

        self._lock = threading.Lock()

    def list(self, top: Path) -> list[str]:
        """Paths relative to ``top`` with slashes, sorted. Folders that cannot be read are left out."""
        with self._lock:
            found: list[str] = []
            known: dict[str, _Contents] = {}
            waiting = [os.fspath(top)]
            while waiting:
                folder = waiting.pop()
                try:
                    contents = self._contents(folder)
                except OSError:  # gone meanwhile, or not ours to read
                    continue
                known[folder] = contents
                found += contents.files
                waiting += contents.folders
            self._known = known
        return sorted(Path(path).relative_to(top).as_posix() for path in found)

    def _contents(self, folder: str) -> _Contents:
        changed_ns = os.stat(folder).st_mtime_ns
        known = self._known.get(folder)
        if known is not None and known.changed_ns == changed_ns:
            return known
        is_settled = time.time_ns() - changed_ns > _SETTLED_NS
        files, folders = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.endswith(self._suffix) and entry.is_file():
                    files.append(entry.path)
        return _Contents(changed_ns if is_settled else -1, tuple(files), tuple(folders))
