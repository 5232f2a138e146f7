# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be found out about a model before any process is started or weight is read."""

from __future__ import annotations

from collections.abc import Callable

from lingbot_core import loader
from lingbot_core.checkpoints import open_network
from lingbot_core.context_parallel import check_heads
from lingbot_core.options import ModelOptions, RunSettings
from lingbot_core.variants import Variant


def find_model(variant: Variant, options: ModelOptions, say: Callable[[str], None]) -> None:
    """Locate, and where missing download, the files of a model, and check that it can be run as the options say.

    Raises:
        InputError: An option is not possible, or so many GPUs are not with this model.
        WeightsError: A file is missing or of another model.
        ResourceError: Not enough disk or memory, or no access to the hub.
    """
    found = loader.find_files(variant, options, say)
    if options.num_ranks > 1:
        run, cache_dir = RunSettings.resolve(variant, options), options.places(variant).cache_dir
        check_heads(open_network(found["dit"], run, cache_dir).layout.config.num_heads, options.num_ranks)
