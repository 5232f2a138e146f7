# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from lingbot_core.errors import InputError
from lingbot_core.photo import check_size
from nodes.messages import in_graph_words, plain_errors
from nodes.tokens import ModelToken, check_token


def test_in_graph_words_replaces_options_by_inputs():
    assert in_graph_words("Set --pixel-height and --pixel-width accordingly.") == "Set height and width accordingly."
    assert in_graph_words("Run on the CPU with --device cpu.") == "Run on the CPU with ComfyUI's --cpu."
    assert in_graph_words("Correct --some-option.") == "Correct some_option."
    assert in_graph_words("a well-known -- fact") == "a well-known -- fact"


def test_plain_errors_when_our_error_is_raised_keeps_its_kind_and_reads_in_graph_words():
    @plain_errors
    def execute(height: int) -> None:
        """Docs."""
        check_size(height, 832)

    with pytest.raises(InputError) as caught:
        execute(465)
    assert str(caught.value).endswith("Set height and width accordingly.") and "465x832" in str(caught.value)
    assert execute.__name__ == "execute" and execute.__doc__ == "Docs."


def test_plain_errors_when_another_error_is_raised_lets_it_through():
    @plain_errors
    def execute() -> None:
        raise KeyError("unknown")

    with pytest.raises(KeyError):
        execute()


def test_check_token_when_of_another_pack_names_the_node_to_connect():
    with pytest.raises(InputError, match="'model' got something.*str.*Connect it to LingBot World Loader"):
        check_token("a string", ModelToken, "model", "LingBot World Loader")
