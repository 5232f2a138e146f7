# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be found out about a model before any process is started or weight is read."""

from __future__ import annotations

from collections.abc import Callable

from lingbot_core.checkpoints import open_network
from lingbot_core.context_parallel import check_heads
from lingbot_core.model_files import MakeRoom, Say, find_files
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.variants import Variant


def find_model(
    variant: Variant,
    options: ModelOptions,
    say: Say,
    make_room: MakeRoom | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Locate, and where missing download, the files of a model, and check that it can be run as the options say.

    Args:
        variant: The model.
        options: How it will be run.
        say: Told in a sentence what is being downloaded.
        make_room: Told the bytes that a run takes before a download, so that what others hold of the memory and can
            give back does not stand in its way.
        cancelled: Asked all along.

    Raises:
        Cancelled: ``cancelled`` returned True; files that have arrived are kept.
        InputError: An option is not possible, or so many GPUs are not with this model.
        WeightsError: A file is missing or of another model.
        ResourceError: Not enough disk or memory, or no access to the hub.
    """
    found = find_files(variant, options, say, make_room, cancelled)
    if options.num_ranks > 1:
        run, cache_dir = RunSettings.resolve(variant, options), options.places(variant).cache_dir
        check_heads(open_network(found["dit"], run, cache_dir).layout.config.num_heads, options.num_ranks)
