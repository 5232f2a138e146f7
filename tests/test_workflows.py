# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The graphs in ``workflows/``: what the generator writes, complete, and connected rightly. Needs no ComfyUI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lingbot_core.camera.files import trajectory_from_json
from lingbot_core.camera.presets import PRESETS
from lingbot_core.variants import VARIANTS
from tools.build_workflows import FOLDER, KEYFRAMES, all_graphs, as_text
from tools.node_schemas import SCHEMAS
from tools.workflow_graph import Graph

GRAPHS = {graph.name: graph for graph in all_graphs()}
UI_FILES = sorted(FOLDER.glob("*.json"))


def linked_inputs(api: dict[str, Any]) -> list[tuple[str, str, list[Any]]]:
    """Node id, input name and source of every connection of an API graph."""
    return [
        (node_id, name, value)
        for node_id, node in api.items()
        for name, value in node["inputs"].items()
        if isinstance(value, list)
    ]


def test_workflow_files_are_those_of_the_generator() -> None:
    assert {path.stem for path in UI_FILES} == set(GRAPHS)
    assert {path.stem for path in (FOLDER / "api").iterdir()} == set(GRAPHS)


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_file_is_what_the_generator_writes(name: str) -> None:
    do = "run: python -m tools.build_workflows"
    assert (FOLDER / f"{name}.json").read_text("utf-8") == as_text(GRAPHS[name].ui()), do
    assert (FOLDER / "api" / f"{name}.json").read_text("utf-8") == as_text(GRAPHS[name].api()), do


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_has_a_picture_and_a_note(name: str) -> None:
    assert (FOLDER / f"{name}.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert any(node["type"] == "MarkdownNote" for node in GRAPHS[name].ui()["nodes"])


@pytest.mark.parametrize("name", GRAPHS)
def test_workflow_connects_outputs_to_inputs_of_their_type(name: str) -> None:
    api = GRAPHS[name].api()
    for node_id, input_name, (source_id, slot) in linked_inputs(api):
        schema = SCHEMAS[api[node_id]["class_type"]]
        types = dict(schema.sockets) | {widget.name: widget.type for widget in schema.widgets}
        assert SCHEMAS[api[source_id]["class_type"]].outputs[slot][1] == types[input_name], (node_id, input_name)


@pytest.mark.parametrize("name", GRAPHS)
def test_ui_links_agree_from_both_ends(name: str) -> None:
    graph = GRAPHS[name].ui()
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(graph["links"]) == len(linked_inputs(GRAPHS[name].api()))
    for link_id, source, source_slot, target, target_slot, type_ in graph["links"]:
        assert link_id in nodes[source]["outputs"][source_slot]["links"]
        assert nodes[source]["outputs"][source_slot]["type"] == type_
        assert nodes[target]["inputs"][target_slot]["link"] == link_id


@pytest.mark.parametrize("name", GRAPHS)
def test_ui_nodes_do_not_overlap(name: str) -> None:
    boxes = [(*node["pos"], *node["size"]) for node in GRAPHS[name].ui()["nodes"]]
    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[index + 1 :]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y


@pytest.mark.parametrize("slug", VARIANTS)
def test_variant_graph_runs_the_registered_configuration(slug: str) -> None:
    nodes = {node["class_type"]: node["inputs"] for node in GRAPHS[slug].api().values()}
    assert nodes["LingBotWorldLoader"]["variant"] == slug
    assert nodes["LingBotExample"]["index"] == 0
    sampler = nodes["LingBotStreamingSampler"]
    assert (sampler["height"], sampler["width"], sampler["total_blocks"], sampler["seed"]) == (464, 832, 21, 42)
    assert nodes["LingBotSaveRollout"]["fps"] == 16


def test_presets_in_graphs_exist() -> None:
    used = [
        node["inputs"]["preset"]
        for graph in GRAPHS.values()
        for node in graph.api().values()
        if node["class_type"] == "LingBotCameraTrajectory"
    ]
    assert set(used) <= {*PRESETS, "keyframes"}


def test_keyframes_bend_the_path_from_chunk_four_on() -> None:
    path = trajectory_from_json(KEYFRAMES, 9)
    bent = trajectory_from_json(KEYFRAMES.replace("[4.5,", "[-4.5,"), 9)
    same = [
        bool((path.chunk(i, 464, 832).relative_poses == bent.chunk(i, 464, 832).relative_poses).all()) for i in range(9)
    ]
    assert same[:5] == [True, True, True, True, False]


def test_graph_when_an_input_is_unknown_is_refused() -> None:
    with pytest.raises(AssertionError, match="has no input"):
        Graph("x").add("LingBotExample", 0, number=1)


def test_folder_holds_nothing_else() -> None:
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} == {".json", ".jpg"}
    assert isinstance(json.loads(Path(UI_FILES[0]).read_text("utf-8"))["nodes"], list)
