# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world queue``: run an API-format graph on a ComfyUI server and bring the results here."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from lingbot_core.cli.console import say
from lingbot_core.cli.prompt_graph import parse_change, parse_value, read_prompt_graph
from lingbot_core.errors import ResourceError

DEFAULT_SERVER = "http://127.0.0.1:8188"
"""Where ComfyUI listens unless told otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``lingbot-world queue``."""
    parser.add_argument("file", type=Path, help="graph in API format, such as those in workflows/api")
    parser.add_argument("--server", default=DEFAULT_SERVER, metavar="URL", help=f"default: {DEFAULT_SERVER}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="change an input; NODE is an id, a title or a class (repeatable)",
    )
    parser.add_argument(
        "--upload",
        action="append",
        default=[],
        metavar="NODE.INPUT=FILE",
        help="send a photo or pose file to the server and use it for an input (repeatable)",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs")


def run(args: argparse.Namespace) -> int:
    """Queue the graph, show its progress, download what it wrote."""
    try:
        from lingbot_core.cli.comfy_job import ComfyJob
    except ModuleNotFoundError as error:
        raise ResourceError(
            "The command queue needs the package aiohttp.",
            got=str(error),
            do="Install it with: pip install aiohttp",
        ) from error
    prompt = read_prompt_graph(args.file)
    changes = [parse_change(change, prompt, "--set") for change in args.set]
    uploads = [parse_change(change, prompt, "--upload") for change in args.upload]
    new = [change for change in (*changes, *uploads) if change.name not in prompt[change.node_id]["inputs"]]
    for change in changes:
        inputs = prompt[change.node_id]["inputs"]
        inputs[change.name] = parse_value(change.text, inputs.get(change.name))
    job = ComfyJob(prompt, args.server, args.output_dir)
    try:
        paths = asyncio.run(job.run(new, uploads))
    except KeyboardInterrupt:
        asyncio.run(job.cancel())
        say("Stopped, here and on the server. Finished chunks are kept: the same command goes on there.")
        return 128 + signal.SIGINT
    for path in paths:
        print(path)
    if not paths:
        say("The graph has run; it wrote no files.")
    return 0
