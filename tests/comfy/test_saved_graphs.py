# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Workflows that were saved once, and are never written anew: today's nodes get every value at its input."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.browser import Browser
from tests.comfy.client import Client
from tests.comfy.model_files import ROLES, AddFile, tensors_of
from tests.comfy.test_nodes import NODES, SOCKET_ONLY, inputs_of, type_of

pytestmark = pytest.mark.comfy

FOLDER = Path(__file__).parent / "data"
UI: dict[str, Any] = json.loads((FOLDER / "saved_workflow.json").read_text("utf-8"))
API: dict[str, dict[str, Any]] = json.loads((FOLDER / "saved_workflow_api.json").read_text("utf-8"))

OURS = {str(node["id"]): node for node in UI["nodes"] if node["type"] in NODES}
LOADER, SAVE = "1", "15"
CONTROL = "control_after_generate"


def title(node_id: str) -> str:
    """For the name of a test."""
    return f"{node_id}-{OURS[node_id]['type'].removeprefix('LingBot')}"


def values_of(node_id: str) -> dict[str, Any]:
    """Values that the node had, by input; what comes over a link is left out."""
    return {name: value for name, value in API[node_id]["inputs"].items() if not isinstance(value, list)}


def test_saved_workflow_has_every_node_of_the_first_release() -> None:
    assert len({node["type"] for node in OURS.values()}) == 11
    assert {key: API[key]["class_type"] for key in OURS} == {key: node["type"] for key, node in OURS.items()}


@pytest.mark.parametrize("node_id", OURS, ids=title)
def test_saved_values_are_at_their_inputs(node_id: str, client: Client) -> None:
    name = OURS[node_id]["type"]
    widgets: list[str] = []
    for key, spec in inputs_of(client.get(f"/object_info/{name}")[name]).items():
        if type_of(spec) not in SOCKET_ONLY:
            widgets += [key, CONTROL] if spec[1].get(CONTROL) else [key]
    placed = dict(zip(widgets, OURS[node_id]["widgets_values"], strict=False))
    expected = values_of(node_id) | ({CONTROL: "increment"} if CONTROL in widgets else {})
    assert placed == expected


@pytest.fixture(scope="module")
def opened(browser: Browser, comfy_server: Any) -> dict[str, Any]:
    """What the page queues when the saved workflow is opened."""
    found = browser.visit(Client(comfy_server), [{"name": "saved", "ui": UI}])
    return found["graphs"]["saved"]


@pytest.mark.parametrize("node_id", OURS, ids=title)
def test_saved_workflow_when_opened_queues_what_it_queued(node_id: str, opened: dict[str, Any]) -> None:
    assert not opened["missing"]
    saved, now = API[node_id]["inputs"], opened["api"][node_id]["inputs"]
    assert {name: now.get(name) for name in saved} == saved, "inputs that came later stand behind those"


def test_saved_api_graph_runs(client: Client, checkpoint: str, add_file: AddFile) -> None:
    graph = copy.deepcopy(API)
    inputs = graph[LOADER]["inputs"]
    for role in ROLES:
        add_file(role, inputs[role].rpartition("/")[2], tensors_of(Path(checkpoint), role))
    inputs |= {"checkpoint_root": checkpoint, "num_gpus": 1}  # the root has the tokenizer
    run = client.run(graph)
    assert run.end == "execution_success", run.error or run.refusal
    assert run.chunks == [(0, 3)] and run.outputs[SAVE]["files"]
