# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The layering of the project, read from its import statements. Nothing is imported here.

A module may import modules of its own layer and of the layers above it in the table;
within a layer imports must not go round in a circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS: dict[str, tuple[str, ...]] = {
    "leaves": ("errors", "timeline", "variants", "stats", "safetensors_io", "transfer", "streams", "folders"),
    "kernels": ("context_parallel", "kernels"),
    "models": ("models", "kv_cache", "camera", "schedule", "layouts"),
    "state": ("rollout", "journal", "decoder", "preview", "image_latents", "text", "tiny_tokenizer"),
    "files": (
        "stats_file",
        "photo",
        "video",
        "examples",
        "contact_sheet",
        "readers",
        "hub",
        "preflight",
        "convert",
        "weights",
        "weight_stream",
    ),
    "engine": (
        "options",
        "checkpoints",
        "random_weights",
        "model_files",
        "loader",
        "passes",
        "sampler",
        "arena",
        "make_checkpoint",
    ),
    "executor": ("executor",),
    "front": ("cli", "__main__", "bench", "live"),
}
"""Layer -> modules and packages of lingbot_core in it, lowest layer first. A new module must be entered."""

COMFY_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "execution",
    "folder_paths",
    "nodes",
    "server",
}
"""Top-level modules that only exist inside ComfyUI."""

IO_MODULES = {"aiohttp", "av", "huggingface_hub", "io", "json", "multiprocessing", "os", "pathlib", "pickle", "PIL"}
IO_MODULES |= {"requests", "safetensors", "shutil", "socket", "subprocess", "tempfile", "threading", "urllib"}
"""What nn.Module files have no business with."""

READS_ENVIRONMENT = {"lingbot_core.kernels.choice", "lingbot_core.kernels.attention"}
"""Ask an environment variable which kernels to use, and set one that says where compiled ones are kept."""

MAX_LINES, MAX_LINES_MODEL = 400, 500


@dataclass(frozen=True)
class Module:
    """One source file of the project."""

    name: str
    """Dotted name, such as ``lingbot_core.camera.rays``."""

    path: Path
    """Where it is."""

    imports: tuple[str, ...]
    """Dotted names it imports, anywhere in the file, duplicates included."""

    @property
    def part(self) -> str:
        """The module or package directly below ``lingbot_core``; empty for ``lingbot_core`` itself."""
        return (self.name.split(".") + [""])[1]


def read_imports(tree: ast.AST, is_module: set[str]) -> Iterator[str]:
    """Dotted names of all imported modules; ``from package import module`` counts as the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full_name = f"{base}.{alias.name}"
                yield full_name if full_name in is_module else base


def module_name(path: Path) -> str:
    """Dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(folder: str) -> list[Module]:
    """All modules below a folder of the project."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    names = {module_name(path) for path in paths}
    return [
        Module(module_name(path), path, tuple(read_imports(ast.parse(path.read_text("utf-8")), names)))
        for path in paths
    ]


CORE = read_modules("lingbot_core")


def layer_index(part: str) -> int:
    """Position of a module's layer, 0 for the lowest."""
    for index, members in enumerate(LAYERS.values()):
        if part in members:
            return index
    raise AssertionError(f"lingbot_core.{part} is in no layer. Enter it in LAYERS, see DESIGN on dependency direction.")


def core_imports(module: Module) -> list[str]:
    """The core modules that a module imports."""
    return [name for name in module.imports if name.split(".")[0] == "lingbot_core"]


@pytest.mark.parametrize("module", CORE, ids=lambda module: module.name)
def test_core_module_imports_only_its_own_layer_and_lower_ones(module: Module) -> None:
    if not module.part:
        assert not core_imports(module), f"{module.name} must import nothing of the core"
        return
    own = layer_index(module.part)
    upward = [name for name in core_imports(module) if layer_index(name.split(".")[1]) > own]
    assert not upward, f"{module.name} is below {', '.join(sorted(set(upward)))} and must not import it"


def test_core_imports_have_no_cycle() -> None:
    graph = {module.name: set(core_imports(module)) - {module.name} for module in CORE}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("module", CORE, ids=lambda module: module.name)
def test_core_module_imports_no_comfyui_and_only_absolute_names(module: Module) -> None:
    relative = [name for name in module.imports if name.startswith(".")]
    assert not relative, f"{module.name}: import the core by its one absolute name, got {relative}"
    comfy = {name.split(".")[0] for name in module.imports} & COMFY_MODULES
    assert not comfy, f"{module.name} imports {comfy}; only nodes/host.py touches ComfyUI"


@pytest.mark.parametrize(
    "module",
    [module for module in CORE if module.part in ("models", "kernels") and module.name not in READS_ENVIRONMENT],
    ids=lambda module: module.name,
)
def test_model_module_does_no_io(module: Module) -> None:
    reached = {name.split(".")[0] for name in module.imports} & IO_MODULES
    reached |= {name for name in module.imports if name.startswith("torch.distributed")}
    assert not reached, f"{module.name} imports {reached}"
    tree = ast.parse(module.path.read_text("utf-8"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"open", "print", "torch.load", "torch.save"} & set(calls), f"{module.name} reads or writes"


def test_every_layer_member_is_a_name_used_once() -> None:
    members = [member for layer in LAYERS.values() for member in layer]
    assert len(members) == len(set(members)), members


@pytest.mark.parametrize(
    "path", [path for module in CORE for path in [module.path]], ids=lambda path: str(path.relative_to(ROOT))
)
def test_core_file_is_not_too_long(path: Path) -> None:
    num_lines = len(path.read_text("utf-8").splitlines())
    limit = MAX_LINES_MODEL if path.parent.name == "models" else MAX_LINES
    assert num_lines <= limit, f"{path.name} has {num_lines} lines, at most {limit}: split it by responsibility"


def test_rule_when_a_lower_layer_imports_a_higher_one_is_broken() -> None:
    tree = ast.parse("def f():\n    from lingbot_core import loader\n    import lingbot_core.executor.local")
    names = list(read_imports(tree, {"lingbot_core.loader", "lingbot_core.executor.local"}))
    assert names == ["lingbot_core.loader", "lingbot_core.executor.local"]
    with pytest.raises(AssertionError, match="must not import"):
        test_core_module_imports_only_its_own_layer_and_lower_ones(
            Module("lingbot_core.models.dit", ROOT / "x.py", tuple(names))
        )
