# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Every graph opened in a browser: no missing node, no error of ours, and the values of its API twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.browser import Browser, our_problems
from tests.comfy.client import Client
from tests.comfy.comfy_host import PACK_NAME, ComfyServer
from tests.comfy.graphs import HEIGHT, WIDTH
from tests.comfy.test_queued_workflows import MAY_BE_LACKING
from tools.build_workflows import FOLDER

pytestmark = pytest.mark.comfy

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "vue"])
def visit(
    request: pytest.FixtureRequest,
    browser: Browser,
    comfy_server: ComfyServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What was found when all graphs were opened, in each of the two renderers."""
    graphs = [{"name": name, "ui": json.loads((FOLDER / f"{name}.json").read_text("utf-8"))} for name in NAMES]
    templates = str(tmp_path_factory.mktemp("browser") / "templates.jpg")
    return browser.visit(Client(comfy_server), graphs, vue=request.param, templates=templates)


@pytest.mark.parametrize("name", NAMES)
def test_graph_opens_without_missing_nodes(name: str, visit: dict[str, Any], comfy_server: ComfyServer) -> None:
    missing = set(visit["graphs"][name]["missing"])
    lacking = MAY_BE_LACKING - set(Client(comfy_server).get("/object_info"))
    assert missing <= lacking
    if missing:
        version = ".".join(map(str, comfy_server.host.version))
        pytest.skip(f"{name} is left out: ComfyUI {version} has no {', '.join(missing)}")
    assert visit["graphs"][name]["count"] == len(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["nodes"])


@pytest.mark.parametrize("name", NAMES)
def test_graph_from_the_browser_is_its_api_twin(name: str, visit: dict[str, Any]) -> None:
    if visit["graphs"][name]["missing"]:
        pytest.skip("a node is missing")
    twin = json.loads((FOLDER / "api" / f"{name}.json").read_text("utf-8"))
    live = visit["graphs"][name]["api"]
    assert {key: node["class_type"] for key, node in live.items()} == {
        key: node["class_type"] for key, node in twin.items()
    }
    for key, node in twin.items():
        for input_name, value in node["inputs"].items():
            assert live[key]["inputs"][input_name] == value, (node["class_type"], input_name)


def test_page_logs_no_error_of_ours(visit: dict[str, Any]) -> None:
    assert not our_problems(visit)


def test_templates_are_shown_with_pictures(visit: dict[str, Any]) -> None:
    assert PACK_NAME in visit["templates"]["text"]
    pictures = visit["templates"]["pictures"]  # older pages show them through addresses of their own
    ours = [picture for picture in pictures if PACK_NAME in picture["src"] or picture["src"].startswith("blob:")]
    assert len(ours) >= 3 and all(picture["width"] > 0 for picture in ours)


def test_running_sampler_shows_a_preview_and_logs_no_error_of_ours(
    browser: Browser, vue: bool, comfy_server: ComfyServer, checkpoint: str, seed: int, tmp_path: Path
) -> None:
    graph = json.loads((FOLDER / "own-photo-preset-path.json").read_text("utf-8"))
    for node in graph["nodes"]:
        if node["type"] == "LingBotWorldLoader":
            names = [socket["name"] for socket in node["inputs"]]  # all are widgets
            node["widgets_values"][names.index("checkpoint_root")] = checkpoint
        elif node["type"] == "LingBotStreamingSampler":
            node["widgets_values"] = [seed, "fixed", 8, HEIGHT, WIDTH, "stretch"]
    shot = tmp_path / "running.jpg"
    client = Client(comfy_server)
    job = {"name": "run", "ui": graph, "shot": str(shot), "run": True, "toEnd": True}
    found = browser.visit(client, [job], vue=vue)
    client.stop_everything()
    assert found["graphs"]["run"]["end"] == "execution_success"
    assert not our_problems(found)
    assert shot.read_bytes().startswith(b"\xff\xd8\xff")
