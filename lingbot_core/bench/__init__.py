# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world bench``: speed, memory and errors on random weights.

Speed does not depend on the values of the weights, so no checkpoint is needed: the
true architecture is built with random ones. One rollout through every cache length is
discarded, then each chunk index is reported as median and 90th percentile over rollouts.
Other options measure single passes and kernels, the time to the first frame, and what 8 bits
cost in accuracy.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from functools import partial

from lingbot_core.bench import breakdown, comparison, elementwise, first_frame, precision_error, rollouts, turns
from lingbot_core.bench.options import add_arguments, check, frame_size, model_options
from lingbot_core.bench.report import Section, environment, write
from lingbot_core.bench.rollouts import Say
from lingbot_core.context_parallel import check_heads
from lingbot_core.errors import InputError
from lingbot_core.loader import random_model
from lingbot_core.options import RunSettings
from lingbot_core.random_weights import SIZES
from lingbot_core.timeline import chunk_tokens
from lingbot_core.variants import get_variant

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace, say: Say = print) -> int:
    """Measure, print the tables, and write the files asked for."""
    check(args)
    settings = RunSettings.resolve(get_variant(args.slug), model_options(args))
    if args.reference is not None:
        comparison.check_reference(args.reference, settings.device)
    if args.breakdown and settings.device.type != "cuda":
        raise InputError("--breakdown needs a GPU.", got=f"device {settings.device}", do="Leave it out.")
    if args.breakdown or args.elementwise:
        section = _one_pass(args, settings, say)
    elif args.first_frame:
        section = _first_frame(args, settings, say)
    elif args.error:
        section = _error(args, settings, say)
    elif args.num_gpus > 1:
        section = _several_gpus(args, settings, say)
    else:
        section = _rollouts(args, settings, say)
    say(section.markdown())
    write([section], args.json, args.results)
    return 0


def _section(args: argparse.Namespace, settings: RunSettings, prefix: str, body: str, data: dict, **facts) -> Section:
    """A measurement with what is needed to repeat it."""
    facts = {**environment(settings, args.slug, args.size, frame_size(args)), **facts}
    return Section(f"{prefix}{args.slug}, {settings.precision}, {facts['hardware']}", facts, body, data)


def _rollouts(args: argparse.Namespace, settings: RunSettings, say: Say) -> Section:
    """Whole rollouts of ours, and of FlashDreams where one is given."""
    size = frame_size(args)
    build = partial(random_model, get_variant(args.slug), model_options(args), size=args.size)
    capacity = settings.window_chunks + settings.sink_chunks
    num_chunks = args.total_blocks or capacity + 2
    say(f"Measuring {args.slug}: {args.rollouts} rollouts of {num_chunks} chunks, after one discarded.")
    compared_body, compared_data = "", {}
    if args.reference is None:
        times = rollouts.measure(build(), num_chunks, args.rollouts, size, say)
    else:
        plan = comparison.Plan(
            num_chunks, args.reference_chunks or capacity, args.rollouts, args.reference_order, args.compare
        )
        indices = plan.compared()
        both = comparison.compare(args.reference, build, size, plan, say)
        compared = comparison.compared_chunks(both, indices, capacity)
        compared_body = f"\n\n{comparison.comparison_markdown(both, compared)}"
        compared_data = comparison.comparison_data(both, compared)
        times = both.times
    body = rollouts.rollouts_markdown(times, capacity) + compared_body
    data = {**rollouts.rollouts_data(times, capacity), **compared_data}
    counted = f"{len(times.known_photo)}, after one that is not counted"
    return _section(args, settings, "", body, data, rollouts=counted)


def _several_gpus(args: argparse.Namespace, settings: RunSettings, say: Say) -> Section:
    """Whole rollouts on several GPUs, and on one; and of FlashDreams where one is given."""
    check_heads(SIZES[args.size].dit.num_heads, args.num_gpus)
    capacity = settings.window_chunks + settings.sink_chunks
    num_chunks, num_reference = args.total_blocks or capacity + 2, args.reference_chunks or capacity
    plan = comparison.Plan(
        num_chunks, num_reference if args.reference else num_chunks, args.rollouts, chunk_indices=args.compare
    )
    indices = plan.compared()
    setup = turns.TurnSetup(
        engine="own",
        slug=args.slug,
        size=args.size,
        precision=args.precision,
        attention=args.attention,
        device_type=settings.device.type,
        window=args.window,
        sink=args.sink,
        height=args.pixel_height,
        width=args.pixel_width,
        num_chunks=num_chunks,
        num_rollouts=args.rollouts,
        reference=str(args.reference.resolve()) if args.reference else None,
    )
    found = turns.measure(setup, args.num_gpus, num_reference, indices, say)
    scaled, compared = turns.scaled_chunks(found, indices), turns.compare_turns(found, indices, capacity)
    times = found.measured().times
    body = f"{rollouts.rollouts_markdown(times, capacity)}\n\n{turns.several_markdown(found, scaled, compared)}"
    data = {**rollouts.rollouts_data(times, capacity), **turns.several_data(found, scaled, compared)}
    counted = f"{len(times.known_photo)}, after one of each turn not counted"
    facts = {"GPUs": args.num_gpus, "rollouts": counted}
    return _section(args, settings, f"{args.num_gpus} GPUs: ", body, data, **facts)


def _one_pass(args: argparse.Namespace, settings: RunSettings, say: Say) -> Section:
    """Single passes, and the kernels in them."""
    size = frame_size(args)
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
        shape = model.dit.config, chunk_tokens(*size)
        rates = elementwise.measure(*shape, settings.dtype, settings.device, settings.fp8)
        body.append(elementwise.elementwise_markdown(rates))
        data["elementwise"] = [{**asdict(rate), "fraction": rate.fraction} for rate in rates]
    return _section(args, settings, "One pass of ", "\n\n".join(body), data)


def _first_frame(args: argparse.Namespace, settings: RunSettings, say: Say) -> Section:
    """Time to the first frame."""
    text_size = args.text_size or args.size
    setup = first_frame.Setup(
        slug=args.slug,
        size=args.size,
        text_size=text_size,
        precision=args.precision,
        attention=args.attention,
        device=args.device,
        window=args.window,
        sink=args.sink,
        height=args.pixel_height,
        width=args.pixel_width,
    )
    say(f"Starting two processes one after the other for the first frames of {args.slug}.")
    found = first_frame.measure(setup, say)
    data: dict[str, object] = {"first_frame": {cache: asdict(times) for cache, times in found.items()}}
    body = first_frame.first_frame_markdown(found, text_size)
    return _section(args, settings, "First frames of ", body, data)


def _error(args: argparse.Namespace, settings: RunSettings, say: Say) -> Section:
    """Errors of fp8 against bf16."""
    variant, options = get_variant(args.slug), model_options(args)
    exact, fp8 = (replace(options, precision=precision) for precision in ("bf16", "fp8"))
    settings = RunSettings.resolve(variant, fp8)
    build_exact, build = (partial(random_model, variant, choice, size=args.size) for choice in (exact, fp8))
    num_chunks = args.total_blocks or precision_error.NUM_CHUNKS
    say(f"Comparing fp8 with bf16 on {args.slug}.")
    found = precision_error.measure(build_exact, build, frame_size(args), num_chunks, say)
    body, data = precision_error.error_markdown(found), precision_error.error_data(found)
    return _section(args, settings, "Errors of ", body, data)
