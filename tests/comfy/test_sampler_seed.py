# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""A sampler that the user adds keeps its seed; one that was saved does what it was saved with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.comfy.browser import Browser, our_problems
from tests.comfy.client import Client
from tests.comfy.comfy_host import ComfyServer
from tests.comfy.graphs import HEIGHT, WIDTH, video_graph
from tools.build_workflows import FOLDER

pytestmark = pytest.mark.comfy

SEED = 5_000_000
"""Of the saved samplers; far from those of other tests."""

CONTROLS = {"fixed": 0, "increment": 1, "decrement": -1, "randomize": None}
"""What can be chosen, and what it adds to the seed."""


def saved_graph(control: str, checkpoint: str) -> dict[str, Any]:
    """A workflow that was saved with another choice than that of a new node."""
    graph = json.loads((FOLDER / "own-photo-preset-path.json").read_text("utf-8"))
    for node in graph["nodes"]:
        if node["type"] == "LingBotStreamingSampler":
            node["widgets_values"] = [SEED, control, 1, HEIGHT, WIDTH, "stretch"]
        elif node["type"] == "LingBotWorldLoader":
            names = [socket["name"] for socket in node["inputs"]]  # all are widgets
            node["widgets_values"][names.index("checkpoint_root")] = checkpoint
    return graph


@pytest.fixture(scope="module")
def session(browser: Browser, vue: bool, comfy_server: ComfyServer, checkpoint: str, shots: str) -> dict[str, Any]:
    """What came of adding, copying, loading and running samplers, in each of the two renderers."""
    saved = {control: saved_graph(control, checkpoint) for control in CONTROLS}
    client = Client(comfy_server)
    api = video_graph(checkpoint, SEED, 1)
    found = browser.use(client, "sampler.spec.mjs", shots, vue, saved=saved, api=api)
    client.post("/queue", {"clear": True})
    client.stop_everything()
    return found


def test_sampler_that_is_added_keeps_its_seed(session: dict[str, Any]) -> None:
    assert session["added"] == [[42, "fixed"]]


def test_copied_and_reloaded_samplers_keep_what_was_chosen(session: dict[str, Any]) -> None:
    assert session["copied"] == "decrement"
    assert session["reloaded"] == [[42, "decrement"]] * 2


@pytest.mark.parametrize("control", CONTROLS)
def test_saved_sampler_keeps_what_it_was_saved_with(control: str, session: dict[str, Any]) -> None:
    assert session["loaded"][control] == [[SEED, control]]


def test_sampler_of_an_api_graph_which_tells_no_choice_keeps_its_seed(session: dict[str, Any]) -> None:
    assert session["fromApi"] == [[SEED, "fixed"]]


@pytest.mark.parametrize("control", CONTROLS)
def test_seed_after_a_run_is_what_was_chosen(control: str, session: dict[str, Any]) -> None:
    ((seed, still),) = session["ran"][control]
    step = CONTROLS[control]
    assert still == control and (seed != SEED if step is None else seed == SEED + step)


def test_page_logs_no_error_of_ours(session: dict[str, Any]) -> None:
    assert not our_problems(session)
