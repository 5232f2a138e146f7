# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A ComfyUI graph described once and written in both of its formats.

The UI format is what a user opens: places, sizes, notes, values by position. The API format is what is
queued over HTTP: values by name.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from tools.node_schemas import PACK_ID, SCHEMAS, Widget

TITLE_HEIGHT, ROW_HEIGHT, WIDGET_HEIGHT = 30, 22, 26
"""Pixels of a node's title, of a row of sockets and of a widget."""

GAP_X, GAP_Y = 60, 60
"""Pixels between columns, and between the nodes of a column."""


@dataclass(frozen=True)
class Link:
    """An output of a node."""

    node: Node
    """Where it comes from."""

    slot: int
    """Which of its outputs."""


@dataclass(eq=False)
class Node:
    """One node of a graph."""

    id: int
    """Number in the graph, from 1."""

    type: str
    """Class of the node, a key of ``SCHEMAS``."""

    title: str
    """What the graph calls it; empty for the node's own name."""

    column: int
    """Which column of the graph it stands in, from 0."""

    values: dict[str, Any] = field(default_factory=dict)
    """Value or :class:`Link` of every input."""

    def __getitem__(self, output: str) -> Link:
        """The output of that name."""
        names = [name for name, _ in SCHEMAS[self.type].outputs]
        return Link(self, names.index(output))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        schema = SCHEMAS[self.type]
        rows = max(len(schema.sockets), len(schema.outputs))
        num_widgets = sum(1 + len(widget.after) for widget in schema.widgets)
        return schema.width, rows * ROW_HEIGHT + num_widgets * WIDGET_HEIGHT + 16 + schema.extra_height


@dataclass(frozen=True)
class Note:
    """A text for the reader."""

    text: str
    """Markdown."""

    column: int
    """Which column it stands in, above the nodes."""

    height: int
    """Pixels."""

    width: int = 440
    """Pixels."""


class Graph:
    """A graph under construction.

    Args:
        name: Stem of its files.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.notes: list[Note] = []

    def add(self, type_: str, column: int, title: str = "", **values: Any) -> Node:
        """Add a node; inputs that are not given keep their defaults. A dot in a name is written ``__``."""
        schema = SCHEMAS[type_]
        given = {name.replace("__", "."): value for name, value in values.items()}
        known = {widget.name: widget.default for widget in schema.widgets}
        unknown = set(given) - set(known) - {name for name, _ in schema.sockets}
        assert not unknown, f"{type_} has no input {unknown}"
        node = Node(len(self.nodes) + 1, type_, title, column, {**known, **given})
        assert None not in node.values.values(), f"{type_} misses a value: {node.values}"
        self.nodes.append(node)
        return node

    def note(self, text: str, column: int, height: int, width: int = 440) -> None:
        """Add a note above a column."""
        self.notes.append(Note(text, column, height, width))

    def api(self) -> dict[str, Any]:
        """The graph in the format of ``POST /prompt``."""
        prompt: dict[str, Any] = {}
        for node in self.nodes:
            inputs = {
                name: [str(value.node.id), value.slot] if isinstance(value, Link) else value
                for name, value in node.values.items()
            }
            prompt[str(node.id)] = {
                "class_type": node.type,
                "inputs": inputs,
                "_meta": {"title": node.title or node.type},
            }
        return prompt

    def ui(self) -> dict[str, Any]:
        """The graph in the format that the browser saves and opens."""
        links: list[list[Any]] = []
        written = {node.id: _ui_node(node) for node in self.nodes}
        for node in self.nodes:
            for slot, socket in enumerate(written[node.id]["inputs"]):
                source = node.values.get(socket["name"])
                if not isinstance(source, Link):
                    continue
                output = written[source.node.id]["outputs"][source.slot]
                links.append([len(links) + 1, source.node.id, source.slot, node.id, slot, output["type"]])
                socket["link"] = len(links)
                output["links"] = [*(output["links"] or []), len(links)]
        notes = [_ui_note(note, len(self.nodes) + 1 + index) for index, note in enumerate(self.notes)]
        nodes = [*written.values(), *notes]
        self._place(written, notes)
        for order, node in enumerate(nodes):
            node["order"] = order
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_ID}/{self.name}")),
            "revision": 0,
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def _place(self, written: dict[int, dict[str, Any]], notes: list[dict[str, Any]]) -> None:
        """Set every position: columns from left to right, notes on top."""
        top = max((note.height for note in self.notes), default=0) + TITLE_HEIGHT + GAP_Y
        x = 0
        for column in range(max(node.column for node in self.nodes) + 1):
            members = [node for node in self.nodes if node.column == column]
            for note, entry in zip(self.notes, notes, strict=True):
                if note.column == column:
                    entry["pos"] = [x, TITLE_HEIGHT]
            y = top + TITLE_HEIGHT
            for node in members:
                written[node.id]["pos"] = [x, y]
                y += node.size[1] + TITLE_HEIGHT + GAP_Y
            x += max(node.size[0] for node in members) + GAP_X


def _ui_node(node: Node) -> dict[str, Any]:
    """A node in UI format, without its place and links."""
    schema = SCHEMAS[node.type]
    sockets = [{"name": name, "type": type_, "link": None} for name, type_ in schema.sockets]
    widgets = [
        {"name": widget.name, "type": widget.type, "widget": {"name": widget.name}, "link": None}
        for widget in schema.widgets
    ]
    written_values: list[Any] = []
    for widget in schema.widgets:
        value = node.values[widget.name]
        written_values += [_unlinked_default(widget) if isinstance(value, Link) else value, *widget.after]
    entry = {
        "id": node.id,
        "type": node.type,
        "pos": [0, 0],
        "size": list(node.size),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [*sockets, *widgets],
        "outputs": [{"name": name, "type": type_, "links": None} for name, type_ in schema.outputs],
        "properties": {"cnr_id": schema.pack, "Node name for S&R": node.type},
        "widgets_values": written_values,
    }
    return {**entry, "title": node.title} if node.title else entry


def _unlinked_default(widget: Widget) -> Any:
    """What a connected widget shows."""
    return widget.default if widget.default is not None else ""


def _ui_note(note: Note, node_id: int) -> dict[str, Any]:
    """A note in UI format; it exists in the browser only."""
    return {
        "id": node_id,
        "type": "MarkdownNote",
        "pos": [0, 0],
        "size": [note.width, note.height],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Read me",
        "properties": {},
        "widgets_values": [note.text],
    }
