# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the user sees while a command runs, and how it is stopped."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:  # these import torch, for which `--help` should not wait
    from lingbot_core.executor.base import PassProgress
    from lingbot_core.stats import ChunkStats


def say(message: str) -> None:
    """Print a line for the user on stderr, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr)


def configure_logging(verbose: bool) -> None:
    """Show our log on stderr: warnings, with ``verbose`` everything of note."""
    logger = logging.getLogger("lingbot_core")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.handlers = [_ConsoleHandler()]


class _ConsoleHandler(logging.Handler):
    """Log records as lines that do not tear a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        say(prefix + record.getMessage())


class ChunkBar:
    """Progress bar over the chunks of a rollout, with milliseconds per chunk, fps and memory.

    Args:
        num_chunks: Chunks of the request.
    """

    def __init__(self, num_chunks: int) -> None:
        self._bar = tqdm(total=num_chunks, unit="chunk", dynamic_ncols=True)

    def __enter__(self) -> ChunkBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def on_pass(self, progress: PassProgress) -> None:
        """Show which pass of which chunk is done."""
        doing = "replaying chunk" if progress.replaying else "chunk"
        where = f"{progress.chunk_index + 1}/{progress.num_chunks}"
        self._bar.set_description(f"{doing} {where}, pass {progress.pass_index}/{progress.num_passes}")

    def on_chunk(self, stats: ChunkStats) -> None:
        """Count a finished chunk and show what it cost."""
        fps = stats.as_dict()["fps"]
        speed = "from the journal" if stats.reused else f"{stats.wall_ms:.0f} ms/chunk, {fps:.2f} fps"
        self._bar.set_postfix_str(f"{speed}, {stats.mem_alloc_gib:.1f} GiB", refresh=False)
        self._bar.update()


class StopRequest:
    """Ctrl-C and SIGTERM, turned into a flag while the context is open.

    The first signal sets the flag, which the engine reads before each pass; a second one
    raises ``KeyboardInterrupt`` at once. Main thread only.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        """Signal that was received; 0 for none."""
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.signal_number != 0

    @property
    def exit_code(self) -> int:
        """Exit code of a process that was stopped so."""
        return 128 + self.signal_number

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.signal_number:
            raise KeyboardInterrupt
        self.signal_number = number
        say("Stopping after this pass; Ctrl-C again stops at once.")
