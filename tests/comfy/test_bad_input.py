# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What a user gets to read when something is wrong: one message of ours, never a stack trace."""

from __future__ import annotations

import pytest

from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import ComfyBase, ComfyHost
from tests.comfy.graphs import CAMERA, MODEL, PHOTO, SAMPLER, TEXT, camera_slot, load_3d, node, video_graph

pytestmark = pytest.mark.comfy


@pytest.fixture
def graph(checkpoint: str, seed: int) -> Graph:
    """A graph that works, to be broken."""
    return video_graph(checkpoint, seed, 1)


def expect_error(run: Run, *parts: str) -> None:
    """The run failed with a message that holds all parts and nothing of the code."""
    assert run.end == "execution_error", run.end
    for part in parts:
        assert part in run.error, run.error
    assert "Traceback" not in run.error and ".py" not in run.error
    assert "lingbot_core.errors" in run.of_type("execution_error")[0]["exception_type"]


def expect_warning(run: Run, part: str) -> None:
    """The run succeeded and said something."""
    assert run.end == "execution_success", run.error
    assert any(part in text for text in run.texts), run.texts


@pytest.mark.parametrize("name", ["model", "image", "camera", "conditioning"])
def test_missing_link_is_refused_by_name(name: str, client: Client, graph: Graph) -> None:
    del graph[SAMPLER]["inputs"][name]
    errors = client.run(graph).refusal["node_errors"][SAMPLER]["errors"]
    assert [(error["type"], error["details"]) for error in errors] == [("required_input_missing", name)]


def test_poses_that_are_too_short_say_how_many_are_needed(client: Client, graph: Graph) -> None:
    graph[CAMERA] = node("LingBotCameraFromPoses", poses="short.npy", intrinsics="default")
    expect_error(client.run(graph), "5", "9")


def test_size_that_is_no_multiple_names_the_nearest(client: Client, graph: Graph) -> None:
    graph[SAMPLER]["inputs"]["height"] = 100
    run = client.run(graph)
    if run.end == "execution_error":
        expect_error(run, "100", "96", "112")
    else:
        assert "height" in str(run.refusal)


def test_photo_of_odd_size_with_alpha_in_a_batch_is_used_and_says_so(client: Client, graph: Graph) -> None:
    graph[PHOTO] = node("LingBotTestPicture", batch=3, height=37, width=53, channels=4)
    expect_warning(client.run(graph), "3 pictures; the first one is used")


def test_grey_photo_is_used(client: Client, graph: Graph) -> None:
    graph[PHOTO] = node("LingBotTestPicture", batch=1, height=37, width=53, channels=1)
    assert client.run(graph).end == "execution_success"


def test_empty_prompt_is_used_and_says_so(client: Client, graph: Graph) -> None:
    graph[TEXT]["inputs"]["prompt"] = "  "
    expect_warning(client.run(graph), "The prompt is empty.")


def test_unknown_variant_of_an_old_graph_lists_the_known_ones(
    client: Client, graph: Graph, comfy_host: ComfyHost
) -> None:
    graph[MODEL]["inputs"]["variant"] = "lingbot-world-slow"
    run = client.run(graph)
    if comfy_host.version < (0, 4):
        expect_error(run, "lingbot-world-slow", "lingbot-world-fast")
    else:
        assert run.refusal["node_errors"][MODEL]["errors"][0]["type"] == "value_not_in_list"


def test_unknown_choices_are_never_a_stack_trace(client: Client, graph: Graph) -> None:
    for node_id, name in (
        (CAMERA, "preset"),
        (SAMPLER, "fit"),
        (MODEL, "precision"),
        (MODEL, "decoder"),
        (MODEL, "attention"),
    ):
        broken = {key: {**value, "inputs": dict(value["inputs"])} for key, value in graph.items()}
        broken[node_id]["inputs"][name] = "nonsense"
        run = client.run(broken)
        if not run.refusal:
            expect_error(run, "nonsense")


def test_missing_model_files_are_named_with_size_and_command(client: Client, graph: Graph) -> None:
    graph[MODEL]["inputs"] = {"variant": "lingbot-world-fast", "download": False}
    expect_error(
        client.run(graph), "robbyant/lingbot-world-fast", "GB", "python -m lingbot_core download lingbot-world-fast"
    )


def test_checkpoint_root_that_is_empty_is_named(client: Client, graph: Graph) -> None:
    graph[MODEL]["inputs"]["checkpoint_root"] = "/nowhere/at/all"
    expect_error(client.run(graph), "/nowhere/at/all")


def test_encoding_of_another_text_encoder_is_named(client: Client, graph: Graph) -> None:
    graph[TEXT] = node("LingBotTestConditioning", num_tokens=5, width=768, seed=1)
    expect_error(client.run(graph), "768", "4096", "wan")


def test_path_shorter_than_the_video_ends_it_and_says_so(client: Client, graph: Graph) -> None:
    graph[CAMERA]["inputs"]["total_blocks"] = 1
    graph[SAMPLER]["inputs"]["total_blocks"] = 3
    expect_warning(client.run(graph), "ends after 1 of 3 chunks")


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ({"preset": "keyframes", "keyframes": ""}, "There are no keyframes."),
        ({"preset": "keyframes", "keyframes": "{"}, "not valid JSON"),
        ({"preset": "orbit-left", "settings": "radius=lots"}, "radius"),
        ({"preset": "static", "settings": "height=3"}, "height"),
    ],
)
def test_camera_that_cannot_be_made_says_what_is_wrong(
    inputs: dict[str, str], part: str, client: Client, graph: Graph
) -> None:
    graph[CAMERA]["inputs"].update(inputs)
    expect_error(client.run(graph), part)


def test_viewer_camera_without_any_camera_says_so(client: Client, graph: Graph) -> None:
    graph[CAMERA] = node("LingBotCameraFrom3DViewer", seconds_between=3.0, fov=50.0, total_blocks=0)
    run = client.run(graph)
    assert run.refusal or "camera" in run.error.lower()


def test_viewer_camera_that_cannot_be_used_is_named_by_its_socket(
    client: Client, comfy_base: ComfyBase, graph: Graph
) -> None:
    slot = camera_slot(client)
    sockets = {"camera_1": ("30", slot), "camera_3": ("31", slot)}
    graph[CAMERA] = node("LingBotCameraFrom3DViewer", seconds_between=3.0, fov=50.0, total_blocks=0, **sockets)
    graph["30"] = load_3d(comfy_base, (0.0, 0.0, 5.0))
    graph["31"] = load_3d(comfy_base, (1.0, 0.0, 5.0), cameraType="orthographic")
    expect_error(client.run(graph), "The camera at camera_3 is orthographic", "Switch the viewer to perspective.")


def test_other_packs_value_on_our_socket_names_the_node_to_use(client: Client, graph: Graph) -> None:
    graph[SAMPLER]["inputs"]["model"] = [PHOTO, 0]
    errors = client.run(graph).refusal["node_errors"][SAMPLER]["errors"]
    assert errors[0]["type"] == "return_type_mismatch"
