# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the host process and its ranks say to each other.

Every rank begins with :class:`Hello` and then sends :class:`Heartbeat` all the time. Rank 0 loads and says
:class:`Ready`. From then on the host asks one thing at a time, :class:`Stream` or :class:`EncodeTexts`, and
rank 0 answers with any number of messages, the last one :class:`Ended`; meanwhile :class:`StoreCall` asks
the host for records. A rank that fails says :class:`RankFailed` if it still can.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lingbot_core import errors
from lingbot_core.errors import LingBotError
from lingbot_core.executor.base import EngineInfo, PassProgress, RolloutRequest
from lingbot_core.executor.shared_arrays import SharedArray
from lingbot_core.executor.worker import Heartbeat, Hello
from lingbot_core.preflight import is_out_of_memory
from lingbot_core.stats import ChunkStats

__all__ = ["Heartbeat", "Hello"]


@dataclass(frozen=True)
class ErrorReport:
    """An error as it crosses processes."""

    name: str
    """Its class."""

    text: str
    """Its message."""

    parts: dict[str, str] | None
    """What, got, need and do of an error that is for the user; None for any other."""

    is_out_of_memory: bool
    """Whether a device's memory ran out."""

    traceback: str
    """Where it was raised."""

    @classmethod
    def of(cls, error: BaseException) -> ErrorReport:
        """Describe an error."""
        parts = None
        if isinstance(error, LingBotError):
            parts = {name: getattr(error, name) for name in ("what", "got", "need", "do")}
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return cls(type(error).__name__, str(error), parts, is_out_of_memory(error), trace)

    def as_user_error(self) -> LingBotError | None:
        """The error anew, if it is one for the user."""
        if self.parts is None:
            return None
        kind = getattr(errors, self.name, LingBotError)
        parts = dict(self.parts)
        return kind(parts.pop("what"), **parts)


class RemoteTraceback(Exception):
    """Where an error was raised in another process; the cause of the error that the host raises."""

    def __str__(self) -> str:
        return f"in a worker process\n{self.args[0]}"


# --- from any rank ----------------------------------------------------------------------


@dataclass(frozen=True)
class RankFailed:
    """The rank is about to end itself."""

    error: ErrorReport
    """Why."""


@dataclass(frozen=True)
class LogLine:
    """Something for the host's log."""

    level: int
    """As ``logging`` counts."""

    text: str
    """The message."""


# --- from rank 0 ------------------------------------------------------------------------


@dataclass(frozen=True)
class Say:
    """What is being done, for the user."""

    text: str
    """One sentence."""


@dataclass(frozen=True)
class MakeRoom:
    """Memory is about to be taken; the host answers with :class:`Reply`."""

    num_bytes: int
    """How much, on the first device."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded on all ranks."""

    info: EngineInfo
    """What it is."""

    num_bytes: int
    """Memory held on the first device."""


@dataclass(frozen=True)
class StoreCall:
    """A method of the host's record store; the host answers with :class:`Reply`."""

    method: str
    """One of ``RecordStore``."""

    arguments: tuple[Any, ...]
    """Positional arguments; frames as :class:`SharedArray`."""


@dataclass(frozen=True)
class Progress:
    """A pass is done."""

    progress: PassProgress
    """Which."""


@dataclass(frozen=True)
class ChunkDone:
    """A chunk is finished, or was known."""

    index: int
    """Chunk index."""

    key: str
    """Key of its record."""

    latents: Tensor
    """``[T, C, h, w]``."""

    frames: SharedArray | None
    """Its frames; None when they are those that a store call has just carried."""

    stats: ChunkStats
    """What it cost."""

    reused: bool
    """True when nothing of the network ran for it."""


@dataclass(frozen=True)
class Texts:
    """Answer to :class:`EncodeTexts`."""

    embeddings: list[Tensor]
    """One per prompt."""

    warnings: tuple[str, ...]
    """Sentences for the user."""


@dataclass(frozen=True)
class Ended:
    """The last message about what was asked; rank 0 waits for the next."""

    error: ErrorReport | None
    """Why it did not come to its end; the group goes on all the same."""

    num_bytes: int
    """Memory held on the first device."""

    holds_text_encoder: bool
    """Whether the text encoder is a part of it."""


# --- to rank 0 --------------------------------------------------------------------------


@dataclass(frozen=True)
class Stream:
    """Run a request."""

    request: RolloutRequest
    """Which."""

    previews: bool = False
    """Whether progress is wanted with previews."""


@dataclass(frozen=True)
class EncodeTexts:
    """Encode prompts."""

    prompts: list[str]
    """Which."""


@dataclass(frozen=True)
class Reply:
    """What a store call gave."""

    value: Any = None
    """The result; of frames only their shape, as the host has them already."""

    error: ErrorReport | None = None
    """Why there is none."""


@dataclass(frozen=True)
class ChunkTaken:
    """The consumer came back for more."""


@dataclass(frozen=True)
class Cancel:
    """Leave the running request at the next pass, or the encoding of texts at once."""


@dataclass(frozen=True)
class Stop:
    """End the group."""
