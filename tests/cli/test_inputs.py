# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``generate`` is given: right input, and one clear error for each wrong one before a model is opened."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lingbot_core.camera.intrinsics import default_intrinsics
from lingbot_core.cli import _parser, inputs, main
from lingbot_core.cli import generate as generate_command
from lingbot_core.cli.inputs import read_request
from lingbot_core.errors import InputError
from lingbot_core.examples import ExampleInputs
from lingbot_core.executor.base import RolloutRequest
from tests.cli.conftest import HEIGHT, NUM_POSES, WIDTH


def read(arguments: list[str]) -> RolloutRequest:
    return read_request(_parser(arguments).parse_args(arguments))


def without(arguments: list[str], *options: str) -> list[str]:
    """The command without some options and their values."""
    kept = list(arguments)
    for option in options:
        index = kept.index(option)
        del kept[index : index + 2]
    return kept


def expect_error(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, code: int = 2
) -> str:
    """Run a command that must fail before the model is loaded; its one line on stderr."""
    monkeypatch.setattr(generate_command, "open_executor", lambda *_, **__: pytest.fail("the model was loaded"))
    assert main(arguments) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lingbot-world: error: ")]
    return line


# --- right input ------------------------------------------------------------------------


def test_request_from_files_holds_photo_path_and_first_prompt_line(arguments: list[str]) -> None:
    request = read(arguments)
    assert request.photo.shape == (HEIGHT, WIDTH, 3)
    assert request.photo[0, 10].tolist() == [20, 0, 120]
    assert (request.num_chunks, request.camera.num_chunks, request.seed) == (3, 4, 42)
    assert [(event.chunk_index, event.prompt) for event in request.text] == [(0, "A quiet street.")]


def test_prompt_wins_over_the_prompt_file(arguments: list[str]) -> None:
    assert read([*arguments, "--prompt", "A beach."]).text[0].prompt == "A beach."


def test_events_come_in_order_of_chunks(arguments: list[str]) -> None:
    request = read([*arguments, "--event", "2=Rain = wet.", "--event", "1=Wind."])
    events = [(event.chunk_index, event.prompt) for event in request.text]
    assert events == [(0, "A quiet street."), (1, "Wind."), (2, "Rain = wet.")]


def test_camera_preset_with_options_is_as_long_as_the_video(arguments: list[str]) -> None:
    arguments = without(arguments, "--pose-path", "--intrinsic-path")
    request = read([*arguments, "--camera", "dolly-in:speed=2,easing=ease-in-out"])
    assert request.camera.num_chunks == request.num_chunks == 3
    slow = read([*arguments, "--camera", "dolly-in:speed=1"]).camera
    fast = read([*arguments, "--camera", "dolly-in:speed=2"]).camera
    torch.testing.assert_close(fast.c2w[:, 2, 3], 2 * slow.c2w[:, 2, 3])


def test_camera_json_is_read_from_its_file(arguments: list[str], tmp_path: Path) -> None:
    keyframes = [{"time_sec": 0.0, "position": [0.0, 0.0, 0.0]}, {"time_sec": 3.0, "position": [0.0, 0.0, 5.0]}]
    path = {"format": "lingbot-camera-path", "version": 1, "keyframes": keyframes}
    (tmp_path / "path.json").write_text(json.dumps(path))
    arguments = without(arguments, "--pose-path", "--intrinsic-path")
    request = read([*arguments, "--camera-json", str(tmp_path / "path.json")])
    assert request.num_chunks == 3
    assert request.camera.c2w[-1, 2, 3] > 4


@pytest.mark.parametrize("spelling", [["--example-data"], ["--example-data", "True"]])
def test_example_fills_what_is_not_given(
    arguments: list[str], input_files: Path, spelling: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    poses, intrinsics = input_files / "poses.npy", input_files / "intrinsics.npy"
    example = ExampleInputs(input_files / "image.png", poses, intrinsics, prompt=None)
    asked: list[int] = []
    monkeypatch.setattr(inputs, "example_inputs", lambda index: asked.append(index) or example)
    bare = without(arguments, "--image-path", "--pose-path", "--intrinsic-path", "--prompt-path")
    request = read([*bare, *spelling, "--example-idx", "3"])
    assert asked == [3]
    assert request.camera.intrinsics[0].tolist() == [500.0, 500.0, 416.0, 240.0]
    assert request.text[0].prompt == ""
    with_prompt = read([*bare, *spelling, "--prompt", "Own.", "--camera", "static"])
    assert with_prompt.text[0].prompt == "Own."
    assert with_prompt.camera.name == "static"


def test_example_data_false_uses_no_example(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "example_inputs", lambda *_: pytest.fail("no example was asked for"))
    assert read([*arguments, "--example-data", "False"]).num_chunks == 3


def test_own_poses_with_an_example_do_not_use_its_intrinsics(
    arguments: list[str], input_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = input_files / "none.npy"
    example = ExampleInputs(input_files / "image.png", missing, missing, input_files / "prompt.txt")
    monkeypatch.setattr(inputs, "example_inputs", lambda _: example)
    request = read([*without(arguments, "--intrinsic-path"), "--example-data"])
    torch.testing.assert_close(request.camera.intrinsics, default_intrinsics(request.camera.num_frames))


def test_cropped_photo_changes_measured_intrinsics_but_not_the_default_ones(arguments: list[str]) -> None:
    arguments = [*arguments, "--pixel-height", "32", "--fit", "crop"]  # of 64 rows, the middle 32 are kept
    measured = read(arguments).camera.intrinsics[0]
    assert measured.tolist() == [500.0, 1000.0, 416.0, 240.0]
    default = read(without(arguments, "--intrinsic-path")).camera.intrinsics
    torch.testing.assert_close(default, default_intrinsics(len(default)))


def test_intrinsics_of_a_file_serve_a_preset_and_a_keyframe_path_too(arguments: list[str], tmp_path: Path) -> None:
    keyframes = [{"time_sec": 0.0, "position": [0.0, 0.0, 0.0], "zoom": 2.0}]
    path = {"format": "lingbot-camera-path", "version": 1, "keyframes": keyframes}
    (tmp_path / "path.json").write_text(json.dumps(path))
    arguments = without(arguments, "--pose-path")
    for camera in (["--camera", "dolly-in"], ["--camera-json", str(tmp_path / "path.json")]):
        rows = read([*arguments, *camera]).camera.intrinsics
        assert rows.tolist() == [[500.0, 500.0, 416.0, 240.0]] * len(rows)
        cut = read([*arguments, *camera, "--pixel-height", "32", "--fit", "crop"]).camera.intrinsics[0]
        assert cut.tolist() == [500.0, 1000.0, 416.0, 240.0]


def test_default_device_without_a_gpu_is_said(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    command = [*without(arguments, "--device"), "--fps", "0"]
    monkeypatch.setattr(generate_command, "open_executor", lambda *_, **__: pytest.fail("the model was loaded"))
    assert main(command) == 2
    assert "running on the CPU" in capsys.readouterr().err


# --- warnings ---------------------------------------------------------------------------


def test_total_blocks_beyond_the_path_stops_there_and_says_so(
    arguments: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert read([*arguments, "--total-blocks", "9"]).num_chunks == 4
    assert "ends after 4 of 9 chunks" in caplog.text


def test_event_beyond_the_video_is_left_out_and_said(arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert len(read([*arguments, "--event", "3=Late."]).text) == 1
    assert "chunk 3 is beyond the last chunk, 2" in caplog.text


def test_empty_event_is_said(arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert read([*arguments, "--event", "1="]).text[1].prompt == ""
    assert "prompt from chunk 1 on is empty" in caplog.text


def test_empty_prompt_is_said(arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert read(without(arguments, "--prompt-path")).text[0].prompt == ""
    assert "prompt is empty" in caplog.text


# --- wrong input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pixel-height", "465"], r"464x96"),
        (["--pixel-width", "830"], r"multiples of 16"),
        (["--total-blocks", "0"], r"nothing to generate"),
        (["--fps", "0"], r"frame rate"),
        (["--image-path", "nowhere.jpg"], r"no photo.*nowhere.jpg"),
        (["--pose-path", "nowhere.npy"], r"nowhere.npy does not exist"),
        (["--intrinsic-path", "nowhere.npy"], r"nowhere.npy does not exist"),
        (["--prompt-path", "nowhere.txt"], r"prompt file nowhere.txt"),
        (["--camera", "static"], r"more than one camera path.*--pose-path and --camera"),
        (["--event", "soon=Rain."], r"CHUNK=PROMPT"),
        (["--event", "0=Rain."], r"text at chunk 0 is --prompt"),
        (["--event", "1=Rain.", "--event", "1=Sun."], r"same chunk"),
        (["--example-data", "--example-idx", "6"], r"0 to 5"),
        (["--device", "abacus"], r"Unknown device"),
        (["--device", "mps"], r"not supported.*cpu or cuda"),
        (["--device", "meta"], r"not supported.*cpu or cuda"),
        (["--pixel-width", "16400"], r"cannot be encoded.*16384"),
    ],
)
def test_wrong_option_ends_in_one_line_before_the_model_is_loaded(
    arguments: list[str],
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert re.search(message, expect_error([*arguments, *options], monkeypatch, capsys))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--camera", "loop"], "preset is unknown"),
        (["--camera", "static:speed"], "key=value,key=value"),
        (["--camera", "dolly-in:speed=fast"], "speed"),
        (["--camera", "dolly-in:colour=red"], "colour"),
        (["--camera-json", "nowhere.json"], "nowhere.json"),
        (["--camera-json", "README.md"], "not valid JSON"),
        ([], "no camera path"),
    ],
)
def test_wrong_camera_option_ends_in_one_line(
    arguments: list[str],
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
) -> None:
    (tmp_path / "README.md").write_text("# no JSON")
    monkeypatch.chdir(tmp_path)
    command = [*without(arguments, "--pose-path", "--intrinsic-path"), *options]
    assert message in expect_error(command, monkeypatch, capsys)


def test_missing_photo_option_names_it(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert "--image-path" in expect_error(without(arguments, "--image-path"), monkeypatch, capsys)


def test_unreadable_photo_ends_in_one_line(
    arguments: list[str], input_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (input_files / "image.png").write_bytes(b"no picture")
    assert "not an image" in expect_error(arguments, monkeypatch, capsys)


def not_rigid(poses: np.ndarray) -> np.ndarray:
    return poses * np.array([2, 1, 1, 1])


def not_finite(poses: np.ndarray) -> np.ndarray:
    poses[7, 0, 3] = np.nan
    return poses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda poses: poses[:, :3], "[N, 4, 4]"),
        (lambda poses: poses[:8], "at least 9"),
        (not_rigid, "0"),
        (not_finite, "7"),
    ],
    ids=["shape", "short", "not_rigid", "not_finite"],
)
def test_wrong_poses_end_in_one_line(
    arguments: list[str],
    input_files: Path,
    change,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    np.save(input_files / "poses.npy", change(np.load(input_files / "poses.npy")))
    assert message in expect_error(arguments, monkeypatch, capsys)


def test_pickled_poses_are_refused(
    arguments: list[str], input_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    np.save(input_files / "poses.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "pickled" in expect_error(arguments, monkeypatch, capsys)


def test_intrinsics_of_another_count_end_in_one_line(
    arguments: list[str], input_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    np.save(input_files / "intrinsics.npy", np.tile([500.0, 500.0, 416.0, 240.0], (NUM_POSES - 1, 1)))
    assert f"[{NUM_POSES}, 4]" in expect_error(arguments, monkeypatch, capsys)


def test_unwritable_output_folder_ends_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    command = [*arguments, "--output-dir", str(tmp_path / "file" / "out"), "--journal", str(tmp_path / "journal")]
    assert "--output-dir" in expect_error(command, monkeypatch, capsys, code=1)


def test_journal_of_another_version_ends_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "journal.json").write_text('{"format": 99}')
    command = [*arguments, "--journal", str(tmp_path / "journal")]
    assert "another version" in expect_error(command, monkeypatch, capsys, code=1)


@pytest.mark.parametrize(
    "options",
    [["--seed", "-1"], ["--seed", "x"], ["--journal-budget", "-1"], ["--example-data", "maybe"], ["--fit", "zoom"]],
)
def test_malformed_option_exits_with_2(arguments: list[str], options: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([*arguments, *options])
    assert exited.value.code == 2


@pytest.mark.parametrize("text", ["", "=", "1", "x=y", "-1=y", "0=y"])
def test_parse_event_of_another_form_raises(text: str) -> None:
    with pytest.raises(InputError):
        inputs.parse_event(text)
