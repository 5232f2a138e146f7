# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""``lingbot-world queue`` against a fake server."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the command queue needs aiohttp")

from lingbot_core.cli import comfy_server, main  # noqa: E402
from lingbot_core.cli.comfy_job import result_files  # noqa: E402
from lingbot_core.cli.prompt_graph import parse_value  # noqa: E402
from tests.cli.fake_comfy import PROMPT_ID, FakeComfy  # noqa: E402

GRAPH = {
    "1": {"class_type": "Loader", "inputs": {"variant": "a"}, "_meta": {"title": "The model"}},
    "2": {"class_type": "Sampler", "inputs": {"model": ["1", 0], "blocks": 21, "mode.x": 1.5}},
    "3": {"class_type": "Text", "inputs": {"text": "hello"}, "_meta": {"title": "v1.0 text"}},
    "4": {"class_type": "Text", "inputs": {"text": ["3", 0]}},
}

NUMBER = ["INT", {"default": 1}]
WIDE = {"required": {"width": NUMBER}}
CLASSES = {
    "Sampler": {
        "required": {"model": ["MODEL"], "blocks": NUMBER},
        "optional": {
            "flag": ["BOOLEAN"],
            "size": [
                "COMFY_DYNAMICCOMBO_V3",
                {"options": [{"key": "wide", "inputs": WIDE}, {"key": "a", "inputs": {}}]},
            ],
            "images": ["COMFY_AUTOGROW_V3", {}],
        },
    }
}
"""The server's own list of inputs; it knows one of the classes."""

VIDEO = {"filename": "a.mp4", "subfolder": "", "type": "output"}
STATS = {"filename": "stats_a.json", "subfolder": "deep/er", "type": "output"}
PREVIEW = {"filename": "p.png", "subfolder": "", "type": "temp"}


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    """The graph in a file."""
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(GRAPH), encoding="utf-8")
    return path


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Where results go."""
    return tmp_path / "results"


async def succeed(server: FakeComfy) -> None:
    """A run that shows all kinds of progress and writes two files."""
    server.files = {("", "a.mp4"): b"video", ("deep/er", "stats_a.json"): b"[]"}
    await server.send("status", status={"exec_info": {"queue_remaining": 1}})
    await server.send("executing", node="2", prompt_id=PROMPT_ID)
    await server.send("progress", value=3, max=10, node="2", prompt_id=PROMPT_ID)
    await server.send("progress", value=1, max=999, node="9", prompt_id="run-of-somebody-else")
    await server.send_text("chunk 1: 20 ms", "2")
    await server.finish({"5": {"images": [VIDEO], "files": [VIDEO, STATS], "animated": [True]}, "6": {"a": [PREVIEW]}})


async def never_end(server: FakeComfy) -> None:
    """A run that goes on."""


def queue(graph_file: Path, outputs: Path, server: FakeComfy, *options: str) -> int:
    """Run the command against a server."""
    return main(["queue", str(graph_file), "--server", server.url, "--output-dir", str(outputs), *options])


def test_queue_when_run_succeeds_downloads_what_it_wrote(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy(succeed) as server:
        assert queue(graph_file, outputs, server) == 0
    assert server.prompts == [GRAPH]
    assert (outputs / "a.mp4").read_bytes() == b"video"
    assert (outputs / "deep" / "er" / "stats_a.json").read_bytes() == b"[]"
    assert sorted(path.name for path in outputs.rglob("*") if path.is_file()) == ["a.mp4", "stats_a.json"]
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(outputs / "a.mp4"), str(outputs / "deep" / "er" / "stats_a.json")]
    assert "Sampler (2)" in printed.err
    assert "3/10" in printed.err and "999" not in printed.err
    assert "chunk 1: 20 ms" in printed.err


def test_queue_when_connection_breaks_goes_on_listening(graph_file: Path, outputs: Path) -> None:
    async def play(server: FakeComfy) -> None:
        await server.hang_up()
        await succeed(server)

    with FakeComfy(play) as server:
        assert queue(graph_file, outputs, server) == 0
    assert (outputs / "a.mp4").is_file()


def test_queue_when_last_message_is_lost_finds_the_result_in_the_history(
    graph_file: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(server: FakeComfy) -> None:
        server.send = nothing  # pyright: ignore[reportAttributeAccessIssue]
        server.files = {("", "a.mp4"): b"video"}
        await server.finish({"5": {"images": [VIDEO]}})

    async def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(comfy_server, "_QUIET_SEC", 0.1)
    with FakeComfy(play) as server:
        assert queue(graph_file, outputs, server) == 0
    assert (outputs / "a.mp4").is_file()


@pytest.mark.parametrize(
    ("option", "node", "name", "value"),
    [
        ("2.blocks=3", "2", "blocks", 3),
        ("Sampler.blocks=3", "2", "blocks", 3),
        ("2.mode.x=2.5", "2", "mode.x", 2.5),
        ("The model.variant=7", "1", "variant", "7"),
        ("v1.0 text.text=a=b", "3", "text", "a=b"),
        ("4.text=now text", "4", "text", "now text"),
        ("2.flag=true", "2", "flag", True),
    ],
)
def test_queue_set_changes_one_input(
    graph_file: Path, outputs: Path, option: str, node: str, name: str, value: object
) -> None:
    with FakeComfy(succeed) as server:
        assert queue(graph_file, outputs, server, "--set", option) == 0
    expected: dict[str, Any] = json.loads(json.dumps(GRAPH))
    expected[node]["inputs"][name] = value
    assert server.prompts == [expected]


def test_parse_value_keeps_text_as_text() -> None:
    assert parse_value("12", "old") == "12"
    assert parse_value("12", 1) == 12
    assert parse_value("12x", ["3", 0]) == "12x"


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("2.blocks", "NODE.INPUT=VALUE"),
        ("blocks=3", "NODE.INPUT=VALUE"),
        ("9.blocks=3", "not in the graph. Got: 9.blocks. Needed: one of 1 Loader, 2 Sampler"),
        ("Text.text=x", "several nodes. Got: Text. Needed: one of the ids 3, 4"),
    ],
)
def test_queue_set_when_wrong_is_refused_before_anything_is_sent(
    graph_file: Path, outputs: Path, option: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy(succeed) as server:
        assert queue(graph_file, outputs, server, "--set", option) == 2
    assert not server.prompts
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("name", ["flag", "size", "images.image0", "size.width"])
def test_queue_set_when_the_server_knows_the_new_input_sends_it(graph_file: Path, outputs: Path, name: str) -> None:
    with FakeComfy(succeed, classes=CLASSES) as server:
        assert queue(graph_file, outputs, server, "--set", f"2.{name}=1", "--set", "2.size=wide") == 0
    assert server.prompts[0]["2"]["inputs"][name] == ("wide" if name == "size" else 1)


@pytest.mark.parametrize(
    ("option", "name", "advice"),
    [
        ("--set", "block", "Did you mean blocks?"),
        ("--set", "size.width", ""),
        ("--upload", "modle", "Did you mean model?"),
    ],
)
def test_queue_when_the_server_knows_no_such_input_names_the_nearest(
    graph_file: Path, outputs: Path, option: str, name: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy(succeed, classes=CLASSES) as server:
        assert queue(graph_file, outputs, server, option, f"Sampler.{name}=3") == 2
    assert not server.prompts and not server.uploads
    expected = (
        f"lingbot-world: error: The option {option} names an input that Sampler (2) does not have. Got: {name}. "
        f"Needed: one of model, blocks, flag, size, images, images.*. {advice}"
    )
    assert capsys.readouterr().err.splitlines() == [expected.strip()]


def test_queue_when_aiohttp_is_missing_says_how_to_get_it(
    graph_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lingbot_core.cli.comfy_job", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["queue", str(graph_file)]) == 1
    assert "Install it with: pip install aiohttp" in capsys.readouterr().err


def test_queue_upload_sends_the_file_and_uses_its_name(graph_file: Path, outputs: Path, tmp_path: Path) -> None:
    photo = tmp_path / "my photo.png"
    photo.write_bytes(b"pixels")
    with FakeComfy(succeed) as server:
        assert queue(graph_file, outputs, server, "--upload", f"1.variant={photo}") == 0
    assert server.uploads == {"my photo.png": b"pixels"}
    assert server.prompts[0]["1"]["inputs"]["variant"] == "my photo.png"


def test_queue_upload_when_file_is_missing_says_so(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy(succeed) as server:
        assert queue(graph_file, outputs, server, "--upload", "1.variant=nowhere.png") == 2
    assert "The file nowhere.png cannot be uploaded." in capsys.readouterr().err


def test_queue_when_graph_is_refused_names_nodes_and_reasons_in_one_line(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {"message": "Value not in list", "details": "variant: 'x' not in ['a', 'b']"}
    refusal = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
        "node_errors": {"1": {"errors": [fault, fault], "class_type": "Loader"}},
    }
    with FakeComfy(refusal=refusal) as server:
        assert queue(graph_file, outputs, server) == 2
    lines = capsys.readouterr().err.splitlines()
    expected = "ComfyUI refuses the graph: The model (1): Value not in list: variant: 'x' not in ['a', 'b']."
    assert lines == [f"lingbot-world: error: {expected}"]


def test_queue_when_a_branch_is_left_out_stops_the_rest_and_says_why(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [
        {
            "message": "Value 0 smaller than min of 1",
            "details": "blocks",
            "extra_info": {"input_name": "blocks", "received_value": 0},
        },
        {"message": "Broken", "details": "", "extra_info": {"input_name": "model"}},
    ]
    with FakeComfy(never_end, node_errors={"2": {"errors": faults, "class_type": "Sampler"}}) as server:
        assert queue(graph_file, outputs, server) == 2
    assert server.posted == [("/queue", {"delete": [PROMPT_ID]}), ("/interrupt", {"prompt_id": PROMPT_ID})]
    expected = (
        "lingbot-world: error: ComfyUI accepts only a part of the graph, so the run was stopped. "
        "Sampler (2): Value 0 smaller than min of 1: blocks. Sampler (2): Broken, input model. "
        "Correct this, or take the nodes that depend on it out of the graph."
    )
    assert capsys.readouterr().err.splitlines() == [expected]


def test_queue_when_a_class_is_unknown_gives_the_servers_reason(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"error": {"type": "invalid_prompt", "message": "No node", "details": "Node ID '#1'"}, "node_errors": {}}
    with FakeComfy(refusal=refusal) as server:
        assert queue(graph_file, outputs, server) == 2
    assert "ComfyUI refuses the graph: No node. Node ID '#1'" in capsys.readouterr().err


def test_queue_when_a_node_fails_says_which_and_why(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(server: FakeComfy) -> None:
        error = {"node_id": "2", "exception_message": "The photo is grey.\nGot: grey.", "traceback": ["a", "b"]}
        await server.send("execution_error", prompt_id=PROMPT_ID, **error)
        await server.finish({}, ("execution_start", {}), ("execution_error", error))

    with FakeComfy(fail) as server:
        assert queue(graph_file, outputs, server) == 1
    assert "lingbot-world: error: Sampler (2) failed: The photo is grey. Got: grey." in capsys.readouterr().err


def test_queue_when_stopped_at_the_server_says_so(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stop(server: FakeComfy) -> None:
        await server.finish({}, ("execution_interrupted", {"node_id": "2"}))

    with FakeComfy(stop) as server:
        assert queue(graph_file, outputs, server) == 1
    assert "The run was stopped at the server." in capsys.readouterr().err


def test_queue_when_server_forgets_the_run_says_so(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(server: FakeComfy) -> None:
        server.forget()

    monkeypatch.setattr(comfy_server, "_QUIET_SEC", 0.1)
    with FakeComfy(forget) as server:
        assert queue(graph_file, outputs, server) == 1
    assert "no longer knows this run" in capsys.readouterr().err


def test_queue_when_nobody_answers_says_how_to_give_the_address(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy() as server:
        url = server.url
    assert main(["queue", str(graph_file), "--server", url, "--output-dir", str(outputs)]) == 1
    error = capsys.readouterr().err
    assert f"No ComfyUI answers at {url}." in error and "--server" in error
    assert "Traceback" not in error


def test_queue_when_a_result_is_gone_says_so(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def lose(server: FakeComfy) -> None:
        await server.finish({"5": {"images": [VIDEO]}})

    with FakeComfy(lose) as server:
        assert queue(graph_file, outputs, server) == 1
    assert "answered HTTP 404 to GET /view" in capsys.readouterr().err
    assert not list(outputs.rglob("*.part"))


def test_queue_when_interrupted_stops_the_run_at_the_server(
    graph_file: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeComfy(never_end) as server:

        def press_ctrl_c() -> None:
            while not server.prompts:
                time.sleep(0.02)
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press_ctrl_c, daemon=True).start()
        assert queue(graph_file, outputs, server) == 130
    assert server.posted == [("/queue", {"delete": [PROMPT_ID]}), ("/interrupt", {"prompt_id": PROMPT_ID})]
    assert "Finished chunks are kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "cannot be read"),
        (json.dumps({"nodes": [], "links": []}), "Take its twin in workflows/api"),
        ("[]", "is not a ComfyUI graph"),
        (json.dumps({"1": {"inputs": {}}}), "is not a ComfyUI graph"),
    ],
)
def test_queue_when_file_is_no_api_graph_says_what_it_needs(
    tmp_path: Path, content: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graph.json"
    path.write_text(content, encoding="utf-8")
    assert main(["queue", str(path)]) == 2
    assert part in capsys.readouterr().err


def test_download_when_server_gives_a_path_upwards_stays_in_the_folder(graph_file: Path, outputs: Path) -> None:
    async def escape(server: FakeComfy) -> None:
        server.files = {("../..", "../x.mp4"): b"video"}
        await server.finish({"5": {"images": [{"filename": "../x.mp4", "subfolder": "../..", "type": "output"}]}})

    with FakeComfy(escape) as server:
        assert queue(graph_file, outputs, server) == 0
    assert (outputs / "x.mp4").read_bytes() == b"video"


def test_result_files_skips_what_is_no_file() -> None:
    history = {"outputs": {"1": {"images": [VIDEO, VIDEO, PREVIEW, "text", {"type": "output"}], "text": "x"}}}
    assert [file.filename for file in result_files(history)] == ["a.mp4"]
