# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""How the failure of a process is recognised and told."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from lingbot_core.errors import LingBotError, WorkerFailed
from lingbot_core.executor.messages import ErrorReport, RemoteTraceback

_ECHOES = ("closed by peer", "reset by peer", "gloo", "nccl", "cannot be heard", "broken pipe")
"""In the error of a rank that failed because another one did."""


@dataclass(frozen=True)
class Timeouts:
    """How long the host waits, in seconds."""

    start_sec: float = 300.0
    """For a rank's first message; imports may come over a network."""

    heartbeat_sec: float = 10.0
    """For a rank's sign of life, which comes every second."""

    load_sec: float = 1800.0
    """For the next message while loading."""

    first_pass_sec: float = 600.0
    """For anything of unknown duration: photo and text encoders, the first pass, the first two chunks of a size."""

    pass_sec: float = 12.0
    """For a pass and what comes with it."""

    standstill_sec: float = 12.0
    """For anything at all, while no rank computes, reads or writes or gets from one place to another."""

    num_slowest: float = 4.0
    """Or so many times the slowest pass so far, if that is longer."""

    stop_sec: float = 5.0
    """For ranks to leave by themselves."""


@dataclass(frozen=True)
class Sign:
    """Something that tells of a failure."""

    rank: int | None
    """Of which rank; None: of the elastic agent."""

    cause: str
    """What happened, half a sentence."""

    report: ErrorReport | None = None
    """What the rank said, if it did."""

    is_silent: bool = False
    """The process ended without a word."""

    @property
    def is_echo(self) -> bool:
        """Whether the rank failed because another one did."""
        report = self.report
        if report is None or report.is_out_of_memory:
            return False
        return any(words in report.text.lower() for words in _ECHOES)

    def as_error(self, num_ranks: int) -> LingBotError:
        """What the caller is told; an error for the user that a rank raised is told as it is."""
        report = self.report
        user_error = report.as_user_error() if report is not None else None
        if user_error is not None and type(user_error) is not LingBotError:
            return user_error
        who = "The process that starts the ranks" if self.rank is None else f"Rank {self.rank} of {num_ranks}"
        do = "Finished chunks are kept: run again to go on from there."
        if report is not None and report.is_out_of_memory:
            do = f"Choose a smaller frame, a variant with a shorter window, or more GPUs. {do}"
        error = WorkerFailed(f"{who} failed.", got=self.cause, do=do)
        if report is not None:
            error.__cause__ = RemoteTraceback(report.traceback)
        return error


def describe_end(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    return f"its process was ended by signal {-code}{name}"
