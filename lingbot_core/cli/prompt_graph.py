# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A ComfyUI graph in API format: read it, change its inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_core.errors import InputError

Prompt = dict[str, dict[str, Any]]
"""A graph in API format: nodes by id."""


@dataclass(frozen=True)
class Change:
    """An input that the user sets."""

    option: str
    """Option that says so."""

    node_id: str
    """Node of the graph."""

    name: str
    """Name of the input."""

    text: str
    """Its value, as written."""


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


def parse_change(change: str, prompt: Prompt, option: str) -> Change:
    """Read ``NODE.INPUT=TEXT``. Titles and input names may hold dots.

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
            return Change(option, found[0], ".".join(pieces[count:]), text)
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
