# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""ComfyUI's model folders, named or found."""

from __future__ import annotations

from pathlib import Path

import pytest

from lingbot_core.cli import download, generate, main, model_folders
from lingbot_core.cli.model_folders import find_model_folders
from lingbot_core.errors import InputError

SLUG = "lingbot-world-fast"


def make_comfyui(folder: Path) -> Path:
    (folder / "models" / "vae").mkdir(parents=True)
    return folder


def test_find_model_folders_without_any_comfyui_finds_none() -> None:
    assert find_model_folders([]) == ()


def test_find_model_folders_goes_from_the_named_to_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = make_comfyui(tmp_path / "mine") / "models"
    around, other, usual = (make_comfyui(tmp_path / name) for name in ("around", "other", "usual"))
    monkeypatch.setattr(model_folders, "_PACK", around / "custom_nodes" / "ComfyUI-LingBot-World")
    monkeypatch.setenv("COMFYUI_PATH", str(other))
    monkeypatch.setattr(model_folders, "_USUAL", usual)
    expected = (named, around / "models", other / "models", usual / "models")
    assert find_model_folders([named]) == expected


def test_find_model_folders_when_one_is_found_twice_keeps_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    comfyui = make_comfyui(tmp_path / "ComfyUI")
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setattr(model_folders, "_USUAL", comfyui)
    other = make_comfyui(tmp_path / "other") / "models"
    assert find_model_folders([comfyui / "models", other]) == (comfyui / "models", other)


def test_find_model_folders_when_the_variable_names_no_comfyui_warns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "gone"))
    assert find_model_folders([]) == ()
    assert "COMFYUI_PATH" in caplog.text and "gone" in caplog.text


def test_find_model_folders_when_a_named_one_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"typo is not a folder.*--models-dir"):
        find_model_folders([tmp_path / "typo"])


def test_download_takes_the_vae_of_an_installed_comfyui(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    vae = make_comfyui(tmp_path / "ComfyUI") / "models" / "vae" / "wan_2.1_vae.safetensors"
    vae.write_bytes(b"weights")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "ComfyUI"))
    monkeypatch.setattr("lingbot_core.hub.list_files", lambda repo, cancelled=None: {})
    monkeypatch.setattr("lingbot_core.hub.cached_file", lambda repo, path: None)
    assert main(["download", SLUG, "--dry-run"]) == 0
    assert f"{vae} (model folder)" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["download", SLUG], ["generate", SLUG, "--device", "cpu"]])
def test_missing_models_folder_ends_in_one_line_before_anything_is_downloaded(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(download, "find_all", lambda *_, **__: pytest.fail("something was downloaded"))
    monkeypatch.setattr(generate, "open_executor", lambda *_, **__: pytest.fail("the model was loaded"))
    assert main([*command, "--models-dir", "/no/such/folder"]) == 2
    assert "/no/such/folder is not a folder" in capsys.readouterr().err
