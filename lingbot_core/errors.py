# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors a user can act on.

Every message says, in this order, *what* is wrong, what we *got*, what we *need*
and what to *do*. Broken invariants of our own are ``assert``, not these.
"""

from __future__ import annotations

from collections.abc import Callable


class LingBotError(Exception):
    """Base of all errors that are shown to the user as one plain message.

    Args:
        what: What is wrong, a full sentence.
        got: What was found instead; left out when empty.
        need: What would be right; left out when empty.
        do: What the user can do about it, a full sentence.
    """

    def __init__(self, what: str, *, got: str = "", need: str = "", do: str = "") -> None:
        self.what, self.got, self.need, self.do = what, got, need, do
        got, need = (" ".join(text.split()).rstrip(".") for text in (got, need))
        parts = [what, f"Got: {got}." if got else "", f"Needed: {need}." if need else "", do]
        super().__init__(" ".join(part for part in parts if part))


class InputError(LingBotError, ValueError):
    """A photo, camera path, prompt, size or option that cannot be used."""


class WeightsError(LingBotError):
    """Model files that are missing, truncated, misnamed or of another model."""


class ResourceError(LingBotError):
    """Not enough disk space or memory, or no network where one is needed."""


class JournalError(LingBotError):
    """A journal that this version cannot use."""


class OutputError(LingBotError):
    """A place that cannot be written to."""


class WorkerFailed(LingBotError):
    """A process of the multi-GPU group failed; the group has been ended and the next request starts another."""


class Cancelled(LingBotError):
    """The user stopped the run; finished chunks are kept."""


def stop_if(cancelled: Callable[[], bool] | None, what: str) -> None:
    """Raise :class:`Cancelled` when the user wants to stop.

    Args:
        cancelled: Asked; None never stops.
        what: What is left, a full sentence.
    """
    if cancelled is not None and cancelled():
        raise Cancelled(what)
