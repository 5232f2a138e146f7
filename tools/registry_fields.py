# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Completes ``pyproject.toml`` for the ComfyUI registry: ``python -m tools.registry_fields``.

Publisher, icon and addresses belong to whoever publishes, so the repository leaves them open and ``publish.yml`` runs
this on its own copy. Reads ``PUBLISHER_ID`` and what GitHub Actions always sets: ``GITHUB_SERVER_URL``,
``GITHUB_REPOSITORY`` and ``GITHUB_SHA``. Needs nothing but Python.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ICON = "assets/icon.png"
"""Picture that the registry shows, a file of the repository."""

BEFORE = "[project.optional-dependencies]"
"""Section in front of which the addresses go."""


def complete(text: str, publisher: str, address: str, icon: str) -> str:
    """Fill in the open fields.

    Args:
        text: ``pyproject.toml``, with empty ``PublisherId`` and ``Icon`` and without ``[project.urls]``.
        publisher: Id of the registry account.
        address: Of the repository.
        icon: Address of the picture.
    """
    for name, value in (("PublisherId", publisher), ("Icon", icon)):
        text, count = re.subn(rf'^{name} = ""$', f'{name} = "{value}"', text, flags=re.MULTILINE)
        assert count == 1, (name, count)
    assert text.count(BEFORE) == 1 and "[project.urls]" not in text, "pyproject.toml is not as expected"
    urls = {"Repository": address, "Documentation": f"{address}#readme", "Issues": f"{address}/issues"}
    section = "".join(f'{name} = "{url}"\n' for name, url in urls.items())
    return text.replace(BEFORE, f"[project.urls]\n{section}\n{BEFORE}")


def main() -> int:
    """Complete the file in the current folder."""
    publisher, repository = os.environ.get("PUBLISHER_ID", ""), os.environ["GITHUB_REPOSITORY"]
    if not re.fullmatch(r"[A-Za-z0-9._-]+", publisher):
        print(
            f"The registry's publisher id is {publisher!r}. Set the repository variable COMFY_PUBLISHER_ID to that of "
            "the account that publishes, without the @.",
            file=sys.stderr,
        )
        return 1
    path = Path("pyproject.toml")
    icon = f"https://raw.githubusercontent.com/{repository}/{os.environ['GITHUB_SHA']}/{ICON}"
    address = f"{os.environ['GITHUB_SERVER_URL']}/{repository}"
    path.write_text(complete(path.read_text("utf-8"), publisher, address, icon), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
