# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world worker``: lends the GPUs of this machine to one that generates."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from lingbot_core.cli.console import StopRequest, say
from lingbot_core.cli.model_arguments import add_model_arguments, model_options
from lingbot_core.errors import InputError
from lingbot_core.executor.launch import start_ranks
from lingbot_core.executor.processes import ProcessId, children_of
from lingbot_core.executor.shared_arrays import make_private_folder
from lingbot_core.executor.worker import WorkerSettings
from lingbot_core.options import ModelOptions
from lingbot_core.preflight import SMALLEST_FRAME
from lingbot_core.variants import get_variant

_AGAIN_SEC = 1.0
"""Between the end of a group and the next call."""

_LOOK_SEC = 0.2
"""Between two looks at the processes."""


def run(args: argparse.Namespace) -> int:
    """Join the group of the machine that generates, and the next one when that has ended, until stopped."""
    variant = get_variant(args.slug)
    if args.nnodes < 2 or args.node_rank < 1:
        raise InputError(
            "A worker is one of several machines.",
            got=f"--nnodes {args.nnodes} --node-rank {args.node_rank}",
            need="--nnodes of 2 or more, and a --node-rank from 1 on; the machine that generates has number 0",
        )
    options = model_options(args, variant, SMALLEST_FRAME, args.node_rank)
    folder = make_private_folder(ProcessId.own(), in_memory=False)
    settings_path = folder / "settings.json"
    WorkerSettings(variant.slug, options.to_json(), str(ProcessId.own())).write(settings_path)
    try:
        with StopRequest() as stop:
            while not stop():
                say(f"Calling {args.rdzv_endpoint}; Ctrl-C ends this worker.")
                code = _run_group(options, settings_path, stop)
                if not stop():
                    say("The group has ended." if code == 0 else "The group has failed; see above.")
                    time.sleep(_AGAIN_SEC)
        return stop.exit_code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_group(options: ModelOptions, settings_path: Path, stop: StopRequest) -> int:
    """The ranks of this machine, from their start to their end."""
    agent = start_ranks(options, settings_path)
    try:
        while agent.poll() is None and not stop():
            time.sleep(_LOOK_SEC)
    finally:
        for process in children_of(agent.pid):
            process.kill()
        if agent.poll() is None:
            agent.kill()
            agent.wait()
    return agent.returncode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world worker``."""
    parser.add_argument("slug", help="variant, the same as on the machine that generates")
    parser.add_argument(
        "--node-rank", type=int, default=1, metavar="R", help="number of this machine, from 1 on (default: 1)"
    )
    add_model_arguments(parser)
