# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The files around the code: dependencies, licence lines, the demo's inputs, the documents' claims."""

from __future__ import annotations

import ast
import importlib
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingbot_core.camera.presets import PRESETS
from lingbot_core.models.dit_config import DiTConfig
from lingbot_core.preflight import estimate_memory
from lingbot_core.timeline import num_pixel_frames, num_whole_chunks
from lingbot_core.variants import VARIANTS

# tomli comes with pytest where the standard library has no such module, yaml with huggingface-hub.
yaml = importlib.import_module("yaml")
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "assets" / "demo"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
CODE_FOLDERS = ("lingbot_core", "nodes", "tests", "tools", "assets")
SOURCES = sorted(path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py"))

MODULE_OF_DISTRIBUTION = {"huggingface-hub": "huggingface_hub", "pillow": "PIL"}
"""Distributions whose module has another name."""

HOST_MODULES = {"torch", "triton", "sentencepiece"}
"""Imported by the core but not required: the host brings torch and triton; sentencepiece is used where present."""


def distribution(requirement: str) -> str:
    """Name of a requirement without its version, extras and markers."""
    match = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert match, requirement
    return match.group().lower()


def third_party_imports() -> set[str]:
    """Top-level modules that the core imports and that are neither its own nor the standard library's."""
    names: set[str] = set()
    for path in (ROOT / "lingbot_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"lingbot_core"}


def test_requirements_file_equals_dependencies() -> None:
    assert (ROOT / "requirements.txt").read_text("utf-8").split() == PROJECT["dependencies"]


def test_dependencies_leave_torch_and_comfyui_to_the_host() -> None:
    names = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    assert not names & {"torch", "torchvision", "torchaudio", "triton", "comfyui"}
    assert not [requirement for requirement in PROJECT["dependencies"] if "==" in requirement]


def test_dependencies_are_exactly_what_the_core_imports() -> None:
    declared = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    modules = {MODULE_OF_DISTRIBUTION.get(name, name) for name in declared}
    live = {distribution(requirement) for requirement in PROJECT["optional-dependencies"]["live"]}
    assert third_party_imports() - HOST_MODULES - live == modules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_file_begins_with_the_licence_lines(path: Path) -> None:
    assert path.read_text("utf-8").splitlines()[:2] == [
        "# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors",
        "# SPDX-License-Identifier: Apache-2.0",
    ]


def test_licence_file_is_the_one_named_in_pyproject() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


def test_changelog_has_the_version_of_pyproject() -> None:
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_registry_fields_are_open_in_the_repository() -> None:
    comfy = PYPROJECT["tool"]["comfy"]
    assert comfy["DisplayName"] == "LingBot World"
    assert comfy["PublisherId"] == comfy["Icon"] == "" and "urls" not in PROJECT
    minimum = re.fullmatch(r">=(\d+\.\d+\.\d+)", comfy["requires-comfyui"])
    assert minimum and f"ComfyUI {minimum.group(1)} or newer" in (ROOT / "README.md").read_text("utf-8")


def publishing_job() -> dict[str, Any]:
    """The only job of the workflow that publishes."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8"))
    return workflow["jobs"]["publish"]


def test_publish_workflow_when_not_switched_on_or_in_a_fork_does_nothing() -> None:
    condition = publishing_job()["if"]
    assert "!github.event.repository.fork" in condition
    assert "vars.COMFY_REGISTRY_PUBLISH == 'true'" in condition


@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
def test_publish_workflow_fills_in_the_registry_fields_just_before_publishing(tmp_path: Path) -> None:
    steps = publishing_job()["steps"]
    fill, publish = steps[-2:]
    assert fill["env"] == {"PUBLISHER_ID": "${{ vars.COMFY_PUBLISHER_ID }}"}
    assert "comfy node publish" in publish["run"] and "uses" not in publish
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "tools/registry_fields.py"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    github = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "someone/world", "GITHUB_SHA": "c0ffee"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(publisher: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **github, "PATH": path, "PUBLISHER_ID": publisher}
        return subprocess.run(["sh", "-c", fill["run"]], cwd=tmp_path, env=environment, capture_output=True, text=True)

    refused = run("")
    assert refused.returncode == 1 and "COMFY_PUBLISHER_ID" in refused.stderr
    assert (tmp_path / "pyproject.toml").read_bytes() == (ROOT / "pyproject.toml").read_bytes()
    assert run("some-one").returncode == 0
    filled = tomllib.loads((tmp_path / "pyproject.toml").read_text("utf-8"))
    comfy, urls = filled["tool"]["comfy"], filled["project"].pop("urls")
    assert comfy["PublisherId"] == "some-one"
    assert comfy["Icon"] == "https://raw.githubusercontent.com/someone/world/c0ffee/assets/icon.png"
    assert urls["Repository"] == "https://github.com/someone/world"
    assert filled["project"] == PROJECT


def test_registry_icon_is_a_small_square() -> None:
    with Image.open(ROOT / "assets" / "icon.png") as icon:
        assert (icon.format, icon.size) == ("PNG", (400, 400))


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no run bit")
def test_ci_script_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.skipif(os.name == "nt" or shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("host", [True, False], ids=["ComfyUI", "no ComfyUI"])
@pytest.mark.parametrize("npm_exit_code", [0, 1])
def test_make_browser_fetches_only_what_is_missing_and_never_fails(
    tmp_path: Path, host: bool, npm_exit_code: int
) -> None:
    for name in ("Makefile", *(f"tests/comfy/{name}.py" for name in ("__init__", "browser", "client", "comfy_host"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    comfy, programs = tmp_path / "comfy", tmp_path / "programs"
    for folder in (programs, tmp_path / "lingbot_core", *([comfy / "comfy"] if host else [])):
        folder.mkdir(parents=True)
    if host:
        (comfy / "main.py").touch()
    for name in ("node", "chromium", "npm"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/{name}.log\necho noise >&2\nexit {npm_exit_code}\n')
        program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("PLAYWRIGHT_CORE", "MAKEFLAGS")}
    environment |= {"COMFYUI_PATH": str(comfy), "COMFYUI_PYTHON": sys.executable}
    environment |= {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
    command = ["make", "--silent", "--old-file", ".venv/.dev", f"PY={sys.executable}", "browser"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = tmp_path / "npm.log"
    assert log.exists() == host
    if host:
        assert log.read_text().split()[-3:] == ["--prefix", "build", "playwright-core"]


def test_demo_photo_is_a_wide_rgb_picture() -> None:
    with Image.open(DEMO / "image.jpg") as photo:
        assert photo.mode == "RGB"
        assert photo.width >= 832 and photo.height >= 464
        assert np.asarray(photo).std() > 30, "the photo is nearly flat"


def test_demo_path_is_rigid_and_lasts_twenty_chunks() -> None:
    poses = np.load(DEMO / "poses.npy", allow_pickle=False).astype(np.float64)
    intrinsics = np.load(DEMO / "intrinsics.npy", allow_pickle=False)
    assert poses.shape == (num_pixel_frames(20), 4, 4)
    assert intrinsics.shape == (len(poses), 4)
    assert num_whole_chunks(len(poses)) == 20
    rotations = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (len(poses), 1, 1)), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)


def test_demo_prompt_is_one_line() -> None:
    assert len((DEMO / "prompt.txt").read_text("utf-8").strip().splitlines()) == 1


def test_demo_script_makes_the_shipped_path() -> None:
    script = runpy.run_path(str(DEMO / "make_demo_inputs.py"))
    np.testing.assert_allclose(script["make_poses"](), np.load(DEMO / "poses.npy"), atol=1e-6)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_document_names_only_make_targets_and_files_that_exist(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize(
    "slug, bytes_per_value, gib",
    [
        ("lingbot-world-fast-taehv-window15-sink3", 2, 63),
        ("lingbot-world-fast-taehv-window15-sink3", 4, 127),
        ("lingbot-world-fast", 2, 121),
        ("lingbot-world-fast", 4, 243),
    ],
)
def test_readme_memory_is_what_the_preflight_asks_for(slug: str, bytes_per_value: int, gib: int) -> None:
    variant = VARIANTS[slug]
    estimate = estimate_memory(
        DiTConfig.lingbot_14b(),
        num_parameters=variant.dit.about_bytes // 4,
        text_parameters=variant.text_encoder.about_bytes // 4,
        bytes_per_value=bytes_per_value,
        frame_size=(464, 832),
        capacity_chunks=variant.window_chunks + variant.sink_chunks,
        decoder=variant.decoder,
    )
    assert round(estimate.total / 2**30) == gib
    assert f"| {gib} GiB: " in (ROOT / "README.md").read_text("utf-8")


def test_readme_names_every_variant_and_camera_preset() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert not [name for name in (*VARIANTS, *PRESETS) if f"`{name}`" not in readme]


def help_text(*command: str) -> str:
    """What ``lingbot-world <command> --help`` prints."""
    arguments = [sys.executable, "-m", "lingbot_core", *command, "--help"]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_readme_names_only_commands_and_flags_that_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8").replace("\\\n", " ")
    commands = re.findall(r"^ *(?:lingbot-world|python -m lingbot_core) ([a-z-]+)(.*)$", readme, re.MULTILINE)
    assert commands, "the README shows no command"
    for name in sorted({name for name, _ in commands}):
        known = set(re.findall(r"--[a-z][a-z0-9-]*", help_text(name)))
        used = {flag for other, rest in commands if other == name for flag in re.findall(r"--[a-z][a-z0-9-]*", rest)}
        assert used <= known, f"lingbot-world {name} does not know {sorted(used - known)}"
