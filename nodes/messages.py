# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Error messages in the words of a graph: inputs of nodes in place of command-line options."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from lingbot_core.errors import LingBotError

Execute = TypeVar("Execute", bound=Callable[..., Any])

_INPUT_OF_OPTION = {
    "--pixel-height": "height",
    "--pixel-width": "width",
    "--output-dir": "ComfyUI's --output-directory",
    "--journal": "ComfyUI's --user-directory",
    "--example-idx": "index",
    "--device cpu": "ComfyUI's --cpu",
    "--checkpoint-root": "checkpoint_root",
    "--image-path": "the image input",
}
_OPTION = re.compile(r"--device cpu|--[a-z][a-z-]*")


def in_graph_words(text: str) -> str:
    """A message with our command-line options replaced by what they are called in a graph."""
    return _OPTION.sub(lambda match: _INPUT_OF_OPTION.get(match[0], match[0].lstrip("-").replace("-", "_")), text)


def plain_errors(execute: Execute) -> Execute:
    """Wrap a node's ``execute``: our errors reach the host in graph words."""

    @functools.wraps(execute)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except LingBotError as error:
            words = (in_graph_words(text) for text in (error.what, error.got, error.need, error.do))
            what, got, need, do = words
            raise type(error)(what, got=got, need=need, do=do) from error

    return wrapped  # pyright: ignore[reportReturnType]
