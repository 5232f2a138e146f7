# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The stats file beside a video: a JSON list with one object per chunk."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lingbot_core.errors import OutputError
from lingbot_core.stats import ChunkStats


class StatsFile:
    """Stats of the chunks so far, whole on disk after every chunk.

    An older file of that name stays until the first chunk.

    Args:
        path: The JSON file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._chunks: list[dict[str, object]] = []

    def append(self, stats: ChunkStats) -> None:
        """Add a chunk and rewrite the file in one step.

        Raises:
            OutputError: The file cannot be written.
        """
        self._chunks.append(stats.as_dict())
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            part.write_text(json.dumps(self._chunks, indent=2) + "\n", encoding="utf-8")
            os.replace(part, self.path)
        except OSError as error:
            raise OutputError(
                f"The stats file {self.path} cannot be written.",
                got=str(error),
                do="Choose another folder with --output-dir, or make room and change its permissions.",
            ) from error
