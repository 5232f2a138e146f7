# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The tiny engine for worker processes, and faults that tests put into them.

The variable ``LINGBOT_TEST_FAULT`` names a file that tests write with :func:`write_fault`: on which rank, where (load,
pass, exchange, decode) and what happens. A fault removes its file, so it comes once.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lingbot_core.context_parallel import ContextParallel
from lingbot_core.decoder import StreamingDecoder
from lingbot_core.loader import LoadedModel
from lingbot_core.models.dit import LingBotDiT
from tests.tiny_engine import build_model

FAULT_VARIABLE = "LINGBOT_TEST_FAULT"

SLOW_VARIABLE = "LINGBOT_TEST_SLOW"
"""If set, loading takes a minute."""


def load_model(variant, options, say, make_room, *, parallel: ContextParallel) -> LoadedModel:
    """The tiny model of the variant's decoder, in the options' precision, for rank 0."""
    say("Loading the tiny model")
    make_room(1000)
    if SLOW_VARIABLE in os.environ:
        time.sleep(60)
    _install_faults(parallel.rank)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    return build_model(decoder=variant.decoder, dtype=dtype)


def load_network(variant, options, *, parallel: ContextParallel) -> LoadedModel:
    """The same for the other ranks."""
    _install_faults(parallel.rank)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    return build_model(dtype=dtype)


def write_fault(path: Path, rank: int, where: str, what: str, count: int = 0) -> None:
    """Have a fault happen in processes that run or will be started, where a place is passed ``count`` times before."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"rank": rank, "where": where, "what": what, "count": count}))
    part.rename(path)


def _install_faults(rank: int) -> None:
    path, places = Path(os.environ.get(FAULT_VARIABLE, "/nonexistent")), Counter()

    def pass_by(where: str) -> None:
        try:
            fault = json.loads(path.read_text())
        except OSError:  # none, or none any more
            return
        if (fault["rank"], fault["where"]) != (rank, where):
            return
        places[where] += 1
        if places[where] == fault["count"] + 1:
            path.unlink()
            _fail(fault["what"])

    pass_by("load")
    _before(LingBotDiT, "forward", lambda: pass_by("pass"))
    _before(ContextParallel, "exchange", lambda: pass_by("exchange"))
    _before(StreamingDecoder, "decode", lambda: pass_by("decode"))


def _before(owner: Any, name: str, do: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def replaced(*args, **kwargs):
        do()
        return original(*args, **kwargs)

    setattr(owner, name, replaced)


def _fail(what: str) -> None:
    if what == "raise":
        raise RuntimeError("something broke")
    if what == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(3600)
    raise AssertionError(what)
