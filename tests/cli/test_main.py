# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The program as a whole: commands, exit codes, and the commands that need no model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lingbot_core.cli import COMMANDS, main
from lingbot_core.cli import download as download_command
from lingbot_core.variants import VARIANTS
from lingbot_core.weights import FileStatus, Places

SLUG = "lingbot-world-fast"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_exits_with_0(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exited:
        main([command, "--help"])
    assert exited.value.code == 0
    assert COMMANDS[command].help.capitalize() in " ".join(capsys.readouterr().out.split())


def test_program_without_a_command_exits_with_2(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as exited:
        main([])
    assert exited.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-m", "lingbot_core"], ["-I", "."]], ids=["module", "folder"])
def test_program_when_only_its_folder_is_there_can_be_run(arguments: list[str]) -> None:
    command = [sys.executable, *arguments, "variants"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert all(slug in done.stdout for slug in VARIANTS)


def test_variants_lists_each_slug_with_window_and_licence(capsys: pytest.CaptureFixture) -> None:
    assert main(["variants"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for slug, variant in VARIANTS.items():
        (line,) = [line for line in lines if line.split(" ")[0] == slug]
        assert line.split()[1:4] == [variant.decoder, str(variant.window_frames), str(variant.sink_frames)]
        assert line.endswith(variant.dit.licence)


def test_variants_as_json_names_the_files_of_each(capsys: pytest.CaptureFixture) -> None:
    assert main(["variants", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [variant["slug"] for variant in listed] == list(VARIANTS)
    for variant in listed:
        assert {"dit", "vae", "text_encoder", "tokenizer"} <= {file["role"] for file in variant["files"]}
        assert all(file["licence"] and file["repo"] and file["path"] for file in variant["files"])


def test_variants_runs_without_importing_torch() -> None:
    script = "import sys; from lingbot_core.cli import main; main(['variants']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)


def test_download_dry_run_shows_sizes_places_and_licences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    def plan(variant: object, places: Places) -> list[FileStatus]:
        assert places.model_dirs == (tmp_path,)
        there = tmp_path / "vae.pth"
        return [
            FileStatus("org/net", "net-*.safetensors", 74_000_000_000, False, "Licence N", None),
            FileStatus("org/net", "config.json", 1_000, True, "Licence N", None),
            FileStatus("org/vae", "vae.pth", 507_000_000, True, "Licence V", there, "model folder"),
        ]

    monkeypatch.setattr(download_command, "plan_download", plan)
    monkeypatch.setattr(download_command, "find_all", lambda *_, **__: pytest.fail("a dry run downloads nothing"))
    assert main(["download", SLUG, "--dry-run", "--models-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "about 74.00 GB  org/net/net-*.safetensors  missing" in shown
    assert f"0.51 GB  org/vae/vae.pth  {tmp_path / 'vae.pth'} (model folder)" in shown
    assert "3 files, 2 missing: about 74.00 GB to download." in shown
    assert "Licence of the weights in org/net: Licence N" in shown
    assert "Licence V" not in shown


@pytest.mark.parametrize("command", ["download", "generate", "bench"])
def test_unknown_slug_exits_with_2_and_lists_the_known_ones(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "lingbot-world-slow"]) == 2
    error = capsys.readouterr().err
    assert "lingbot-world-slow" in error
    assert all(slug in error for slug in VARIANTS)
    assert error.startswith("lingbot-world: error: ")
    assert error.count("\n") == 1


def test_interrupt_outside_a_rollout_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> list[FileStatus]:
        raise KeyboardInterrupt

    monkeypatch.setattr(download_command, "plan_download", interrupted)
    assert main(["download", SLUG, "--dry-run"]) == 130


def test_make_checkpoint_onto_a_file_exits_with_an_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["make-checkpoint", "--out", str(tmp_path / "file")]) in (1, 2)
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_interrupt_while_the_command_is_imported_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lingbot_core.cli.importlib.import_module", interrupted)
    assert main(["generate", SLUG]) == 130
    assert capsys.readouterr().err == "lingbot-world: interrupted\n"


@pytest.mark.parametrize("option", ["--rollouts", "--total-blocks"])
def test_bench_of_nothing_exits_with_2(option: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", SLUG, "--size", "tiny", "--device", "cpu", option, "0"]) == 2
    assert f"{option} 0" in capsys.readouterr().err
