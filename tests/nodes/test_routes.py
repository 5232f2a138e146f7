# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""JSON in pieces is the JSON it would be in one. The routes themselves are tested on a real server."""

from __future__ import annotations

import json

import pytest

aiohttp = pytest.importorskip("aiohttp")

from nodes.routes import ROWS_PER_PIECE, encode_json  # noqa: E402


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        [{"a": [1]}],
        {"a": []},
        {"a": [[1.5, 2]], "b": {"c": [3]}, "d": 'quoted " text', "e": None},
        {"rows": [[i, i / 3] for i in range(2 * ROWS_PER_PIECE + 1)], "n": 5},
        {"rows": list(range(ROWS_PER_PIECE))},
    ],
)
def test_json_in_pieces_is_the_same(value: object) -> None:
    assert json.loads(encode_json(value)) == value


def test_nan_is_not_json() -> None:
    with pytest.raises(ValueError):
        encode_json({"a": [float("nan")]})
