# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world bench``: speed and memory on random weights.

Speed does not depend on the values of the weights, so no checkpoint is needed: the
true architecture is built with random ones. One rollout through every cache length is
discarded, then each chunk index is reported as median and 90th percentile over rollouts.
"""

from __future__ import annotations

import argparse
from functools import partial

from lingbot_core.bench import comparison, report, rollouts
from lingbot_core.bench.options import add_arguments, check, frame_size, model_options
from lingbot_core.bench.rollouts import Say
from lingbot_core.loader import random_model
from lingbot_core.options import RunSettings
from lingbot_core.variants import get_variant

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace, say: Say = print) -> int:
    """Measure, print the tables, and write the files asked for."""
    check(args)
    variant = get_variant(args.slug)
    settings = RunSettings.resolve(variant, model_options(args))
    if args.reference is not None:
        comparison.check_reference(args.reference, settings.device)
    sections = [_rollouts(args, settings, say)]
    for section in sections:
        say(section.markdown())
    report.write(sections, args.json, args.results)
    return 0


def _rollouts(args: argparse.Namespace, settings: RunSettings, say: Say) -> report.Section:
    """Whole rollouts of ours, and of FlashDreams where one is given."""
    variant, size = get_variant(args.slug), frame_size(args)
    build = partial(random_model, variant, model_options(args), size=args.size)
    capacity = settings.window_chunks + settings.sink_chunks
    num_chunks = args.total_blocks or capacity + 2
    say(f"Measuring {variant.slug}: {args.rollouts} rollouts of {num_chunks} chunks, after one discarded.")
    if args.reference is None:
        model = build()
        measured = rollouts.measure(model, num_chunks, args.rollouts, size, say)
        rows = rollouts.summarise(measured, capacity)
        return rollouts.section(model, args.size, size, rows, len(measured))
    plan = comparison.Plan(
        num_chunks, args.reference_chunks or capacity, args.rollouts, args.reference_order, args.compare
    )
    indices = plan.compared()
    both, model = comparison.compare(args.reference, build, size, plan, say)
    rows = rollouts.summarise(both.own, capacity)
    own = rollouts.section(model, args.size, size, rows, len(both.own))
    compared = comparison.compared_chunks(both, indices, capacity)
    return report.Section(
        own.title,
        own.facts,
        f"{own.body}\n\n{comparison.comparison_markdown(both, compared)}",
        {**own.data, **comparison.comparison_data(both, compared)},
    )
