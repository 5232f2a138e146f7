# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor that fits the options: in this process for one GPU, a group of processes for several."""

from __future__ import annotations

from collections.abc import Callable

from lingbot_core.executor.base import Executor
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.executor.process_group import ProcessGroupExecutor
from lingbot_core.journal import RecordStore
from lingbot_core.loader import load_model
from lingbot_core.options import ModelOptions
from lingbot_core.variants import Variant


def open_executor(
    variant: Variant,
    options: ModelOptions,
    store: RecordStore | None = None,
    snapshot_budget_gib: float = 0.0,
    *,
    say: Callable[[str], None] | None = None,
    make_room: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Executor:
    """Load a model into an executor.

    Args:
        variant: What to load.
        options: How, and on how many GPUs.
        store: Where records live; None keeps them in this process only.
        snapshot_budget_gib: See ``LocalExecutor``.
        say: Told in a sentence what is being done while loading.
        make_room: Told the bytes that a run takes, before free memory is looked at.
        cancelled: Asked all along.

    Raises:
        Cancelled: ``cancelled`` returned True; nothing stays in memory.
        LingBotError: The model cannot be loaded.
    """
    if options.num_ranks == 1:
        model = load_model(variant, options, on_progress=say, make_room=make_room, cancelled=cancelled)
        return LocalExecutor(model, store, snapshot_budget_gib)
    executor = ProcessGroupExecutor(variant, options, store, snapshot_budget_gib, say=say, make_room=make_room)
    executor.start(cancelled)
    return executor
