# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What the host knows of the pack: nodes, their inputs in order, texts, help pages, templates, time of import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lingbot_core.context_parallel import check_heads
from lingbot_core.errors import InputError
from lingbot_core.models.dit_config import DiTConfig
from tests.comfy.client import Client
from tests.comfy.comfy_host import PACK_NAME, ROOT, ComfyBase, ComfyHost, ComfyServer
from tools.build_workflows import FOLDER
from tools.node_schemas import SCHEMAS, Widget

pytestmark = pytest.mark.comfy

NODES = {
    "LingBotWorldLoader",
    "LingBotExample",
    "LingBotCameraTrajectory",
    "LingBotCameraFromPoses",
    "LingBotCameraFrom3DViewer",
    "LingBotCameraPreview",
    "LingBotTextEncode",
    "LingBotTextEvents",
    "LingBotStreamingSampler",
    "LingBotDecoder",
    "LingBotSaveRollout",
}
"""Ids that saved graphs rely on: none may go, others may come."""

SOCKET_ONLY = {"LINGBOT_MODEL", "LINGBOT_ROLLOUT", "CAMERA_TRAJECTORY", "IMAGE", "LATENT", "CONDITIONING", "VIDEO"}
SOCKET_ONLY |= {"CLIP", "AUDIO", "LOAD3D_CAMERA", "VAE"}


IMPORT_SEC = 0.5
"""The pack must not make the start of the server noticeably longer."""


def inputs_of(info: dict[str, Any]) -> dict[str, Any]:
    """Specification of every input, in order."""
    return {
        name: info["input"][group][name]
        for group in ("required", "optional")
        for name in info["input_order"].get(group, ())
    }


def type_of(spec: list[Any]) -> str:
    """Type of an input; a list of choices is a COMBO."""
    return "COMBO" if isinstance(spec[0], list) else spec[0]


@pytest.fixture(scope="session")
def object_info(comfy_server: ComfyServer) -> dict[str, Any]:
    """All nodes of the server."""
    return Client(comfy_server).get("/object_info")


def test_every_node_is_there(object_info: dict[str, Any]) -> None:
    assert {name for name in object_info if name.startswith("LingBot") and "Test" not in name} >= NODES


def test_pack_is_imported_without_error_in_half_a_second(
    comfy_server: ComfyServer, comfy_host: ComfyHost, tmp_path: Path
) -> None:
    assert "IMPORT FAILED" not in comfy_server.log and "Cannot import" not in comfy_server.log
    seconds = import_seconds(comfy_server)
    if seconds >= IMPORT_SEC:  # a busy machine deserves a second measurement
        server = ComfyServer(comfy_host, ComfyBase(tmp_path / "base"))
        seconds = import_seconds(server)
        server.stop()
    assert seconds < IMPORT_SEC


def import_seconds(server: ComfyServer) -> float:
    """How long the pack took, as the server says."""
    match = re.search(rf"([\d.]+) seconds: .*{PACK_NAME}", server.log)
    assert match, server.log
    return float(match.group(1))


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_widgets_are_in_the_order_that_saved_graphs_rely_on(name: str, object_info: dict[str, Any]) -> None:
    if name not in object_info:
        pytest.skip(f"this ComfyUI has no {name}")
    specs = inputs_of(object_info[name])
    ours = name in NODES
    live = [(key, type_of(spec)) for key, spec in specs.items() if type_of(spec) not in SOCKET_ONLY]
    frozen = [(widget.name, widget.type) for widget in SCHEMAS[name].widgets if "." not in widget.name]
    assert live[: len(frozen)] == frozen
    assert [(key, type_of(spec)) for key, spec in specs.items() if type_of(spec) in SOCKET_ONLY][
        : len(SCHEMAS[name].sockets)
    ] == list(SCHEMAS[name].sockets)
    assert not ours or object_info[name]["output"] == [type_ for _, type_ in SCHEMAS[name].outputs]


@pytest.mark.parametrize("name", sorted(NODES))
def test_defaults_of_the_graphs_are_those_of_the_node(name: str, object_info: dict[str, Any]) -> None:
    specs = inputs_of(object_info[name])
    for widget in SCHEMAS[name].widgets:
        assert isinstance(widget, Widget)
        if widget.default is not None:
            options = specs[widget.name][1]
            choices = (
                specs[widget.name][0] if isinstance(specs[widget.name][0], list) else options.get("options", [None])
            )
            assert options.get("default", choices[0]) == widget.default, widget.name


def test_num_gpus_offers_the_numbers_that_a_refusal_names(object_info: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refusal:
        check_heads(DiTConfig.lingbot_14b().num_heads, 3)
    named = re.search(r"divides them: ([\d, ]+)\.", str(refusal.value))
    assert named
    *numbers, last = named[1].split(", ")
    options = inputs_of(object_info["LingBotWorldLoader"])["num_gpus"][1]
    assert options["max"] == int(last) and f": {', '.join(numbers)} or {last}, " in options["tooltip"]


@pytest.mark.parametrize("name", sorted(NODES))
def test_node_explains_itself(name: str, object_info: dict[str, Any]) -> None:
    info = object_info[name]
    assert info["display_name"].startswith("LingBot ") and info["description"]
    assert info["category"].startswith("LingBot World/")
    without = [key for key, spec in inputs_of(info).items() if not (len(spec) > 1 and spec[1].get("tooltip"))]
    assert not without, f"inputs without a tooltip: {without}"
    assert len(info["output_tooltips"]) == len(info["output"]) and all(info["output_tooltips"])
    assert not set(info["output_name"]) & set(info["output"]), "an output shows its type in place of a name"


@pytest.mark.parametrize("name", sorted(NODES))
def test_node_has_a_help_page(name: str, client: Client) -> None:
    page = client.get_bytes(f"/extensions/{PACK_NAME}/docs/{name}/en.md").decode("utf-8")
    assert page == (ROOT / "js" / "docs" / name / "en.md").read_text("utf-8")
    assert len(page) > 200


def test_templates_are_listed_with_their_pictures(client: Client) -> None:
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert set(client.get("/workflow_templates")[PACK_NAME]) == names
    for name in names:
        picture = client.get_bytes(f"/api/workflow_templates/{PACK_NAME}/{name}.jpg")
        assert picture == (FOLDER / f"{name}.jpg").read_bytes()
