# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world queue``: run an API-format graph on a ComfyUI server and bring the results here."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from lingbot_core.cli.console import say
from lingbot_core.errors import InputError, ResourceError

DEFAULT_SERVER = "http://127.0.0.1:8188"
"""Where ComfyUI listens unless told otherwise."""

Prompt = dict[str, dict[str, Any]]
"""A graph in API format: nodes by id."""


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
            do="Install it with: pip install 'comfyui-lingbot-world[live]'",
        ) from error
    prompt = read_prompt_graph(args.file)
    for change in args.set:
        node, name, text = split_change(change, prompt, "--set")
        node["inputs"][name] = parse_value(text, node["inputs"].get(name))
    uploads = [split_change(change, prompt, "--upload") for change in args.upload]
    job = ComfyJob(prompt, args.server, args.output_dir)
    try:
        paths = asyncio.run(job.run([(node, name, Path(text)) for node, name, text in uploads]))
    except KeyboardInterrupt:
        asyncio.run(job.cancel())
        say("Stopped, here and on the server. Finished chunks are kept: the same command goes on there.")
        return 128 + signal.SIGINT
    for path in paths:
        print(path)
    if not paths:
        say("The graph has run; it wrote no files.")
    return 0


def read_prompt_graph(path: Path) -> Prompt:
    """Read a graph in API format.

    Raises:
        InputError: The file cannot be read, or is something else, such as a graph in UI format.
    """
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The graph {path} cannot be read.", got=str(error)) from error
    if isinstance(graph, dict) and isinstance(graph.get("nodes"), list):
        raise InputError(
            f"The graph {path} is in the format that the browser opens.",
            need="API format",
            do="Take its twin in workflows/api, or use Workflow > Export (API) in the browser.",
        )
    is_graph = isinstance(graph, dict) and graph
    if not is_graph or not all(isinstance(node, dict) and "class_type" in node for node in graph.values()):
        raise InputError(f"The file {path} is not a ComfyUI graph.", need="API format: nodes by id, with class_type")
    for node in graph.values():
        node.setdefault("inputs", {})
    return graph


def split_change(change: str, prompt: Prompt, option: str) -> tuple[dict[str, Any], str, str]:
    """Node, input name and text of ``NODE.INPUT=TEXT``. Titles and input names may hold dots.

    Raises:
        InputError: It is written otherwise, or NODE names no node or several.
    """
    target, equals, text = change.partition("=")
    pieces = target.split(".")
    if not equals or len(pieces) < 2 or not all(pieces):
        raise InputError(f"The option {option} cannot be understood.", got=repr(change), need="NODE.INPUT=VALUE")
    for count in range(1, len(pieces)):
        name = ".".join(pieces[:count])
        found = [name] if name in prompt else [node_id for node_id, node in prompt.items() if name in _names(node)]
        if len(found) > 1:
            raise InputError(
                f"The option {option} names several nodes.", got=name, need=f"one of the ids {', '.join(found)}"
            )
        if found:
            return prompt[found[0]], ".".join(pieces[count:]), text
    known = ", ".join(f"{node_id} {node['class_type']}" for node_id, node in prompt.items())
    raise InputError(f"The option {option} names a node that is not in the graph.", got=target, need=f"one of {known}")


def _names(node: dict[str, Any]) -> tuple[str, str]:
    """Class and title of a node."""
    return node["class_type"], node.get("_meta", {}).get("title", "")


def parse_value(text: str, old: Any) -> Any:
    """The value that a text stands for: text where there was text, else JSON where it is JSON."""
    if isinstance(old, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
