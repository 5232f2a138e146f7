# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The entry of the pack and its help pages, as far as they can be seen without ComfyUI."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

HOST_FILES = {"host.py", "types.py", "extension.py", "loader.py", "camera.py", "text.py", "sampler.py"}
HOST_FILES |= {"decoder.py", "output.py"}
"""Files of ``nodes`` that may import ComfyUI: schemas, and the one that talks to it."""

COMFY_MODULES = {"comfy", "comfy_api", "folder_paths", "server", "execution", "comfy_execution"}


def imported_modules(path: Path) -> set[str]:
    """Top-level names of all absolute imports of a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def node_ids() -> set[str]:
    """Ids in the schemas."""
    return {
        str(keyword.value.value)
        for path in (ROOT / "nodes").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "io.Schema"
        for keyword in node.keywords
        if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
    }


def test_entry_imports_neither_comfyui_nor_torch():
    code = (
        "import importlib.util, sys;"
        f"spec = importlib.util.spec_from_file_location('pack', {str(ROOT / '__init__.py')!r});"
        "pack = importlib.util.module_from_spec(spec); spec.loader.exec_module(pack);"
        "assert pack.WEB_DIRECTORY == './js' and not hasattr(pack, 'NODE_CLASS_MAPPINGS');"
        f"assert sys.path[-1] == {str(ROOT)!r}, sys.path;"
        "print('torch' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.strip() == "False"


def test_only_schemas_and_host_import_comfyui():
    for path in (ROOT / "nodes").glob("*.py"):
        found = imported_modules(path) & COMFY_MODULES
        assert not found or path.name in HOST_FILES, f"{path.name} imports {found}"
        if path.name not in ("host.py",):
            assert found <= {"comfy_api"}, f"{path.name} imports {found}; only host.py may"


def test_every_node_has_a_help_page_and_no_page_is_left_over():
    pages = {page.parent.name for page in (ROOT / "js" / "docs").glob("*/en.md")}
    assert pages == node_ids() and len(pages) >= 11
