# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world bench``: speed and memory on random weights.

Speed does not depend on the values of the weights, so no checkpoint is needed: the
true architecture is built with random ones. One rollout through every cache length is
discarded, then each chunk index is reported as median and 90th percentile over rollouts.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

from lingbot_core.bench import breakdown, comparison, elementwise, report, rollouts
from lingbot_core.bench.options import add_arguments, check, frame_size, model_options
from lingbot_core.bench.rollouts import Say
from lingbot_core.errors import InputError
from lingbot_core.loader import random_model
from lingbot_core.options import RunSettings
from lingbot_core.timeline import chunk_tokens
from lingbot_core.variants import get_variant

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace, say: Say = print) -> int:
    """Measure, print the tables, and write the files asked for."""
    check(args)
    variant = get_variant(args.slug)
    settings = RunSettings.resolve(variant, model_options(args))
    if args.reference is not None:
        comparison.check_reference(args.reference, settings.device)
    if args.breakdown and settings.device.type != "cuda":
        raise InputError("--breakdown needs a GPU.", got=f"device {settings.device}", do="Leave it out.")
    measure = _one_pass if args.breakdown or args.elementwise else _rollouts
    sections = [measure(args, settings, say)]
    for section in sections:
        say(section.markdown())
    report.write(sections, args.json, args.results)
    return 0


def _one_pass(args: argparse.Namespace, settings: RunSettings, say: Say) -> report.Section:
    """Single passes, and the kernels in them."""
    size, fp8 = frame_size(args), settings.fp8
    body: list[str] = []
    data: dict[str, object] = {}
    model = random_model(get_variant(args.slug), model_options(args), size=args.size)
    if args.breakdown:
        chunk = settings.window_chunks + settings.sink_chunks - 1 if args.chunk is None else args.chunk
        say(f"Measuring the passes of chunk {chunk}.")
        found = breakdown.measure(model, chunk, size)
        body.append(breakdown.breakdown_markdown(found))
        data |= breakdown.breakdown_data(found)
    if args.elementwise:
        say("Measuring the kernels between the matrix products.")
        config = model.dit.config
        rates = elementwise.measure(config, chunk_tokens(*size), settings.dtype, settings.device, fp8)
        body.append(elementwise.elementwise_markdown(rates))
        data["elementwise"] = [{**asdict(rate), "fraction": rate.fraction} for rate in rates]
    facts = report.environment(model, args.size, size)
    title = f"One pass of {model.variant.slug}, {model.precision}, {facts['hardware']}"
    return report.Section(title, facts, "\n\n".join(body), data)


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
