# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from lingbot_core.errors import InputError
from lingbot_core.timeline import CHUNK_LATENT_FRAMES
from lingbot_core.variants import VARIANTS, get_variant


def test_variants_are_the_four_upstream_slugs():
    assert list(VARIANTS) == [
        "lingbot-world-fast",
        "lingbot-world-fast-taehv-window15-sink3",
        "lingbot-world-v2-14b-causal-fast",
        "lingbot-world-v2-14b-causal-fast-taehv-window15-sink3",
    ]
    assert all(variant.slug == slug for slug, variant in VARIANTS.items())


def test_variants_when_read_have_whole_chunks_and_matching_decoder():
    for variant in VARIANTS.values():
        assert variant.window_frames == variant.window_chunks * CHUNK_LATENT_FRAMES
        assert variant.sink_frames == variant.sink_chunks * CHUNK_LATENT_FRAMES
        assert (variant.taehv is not None) == (variant.decoder == "taehv")
        assert len({weights.role for weights in variant.weights}) == len(variant.weights)
        assert variant.about_bytes > 90e9


def test_variants_when_second_version_differ_in_checkpoint_and_licence_only():
    first, second = VARIANTS["lingbot-world-fast"], VARIANTS["lingbot-world-v2-14b-causal-fast"]
    assert second.dit.path.startswith("transformers/") and "BY-NC-SA" in second.dit.licence
    assert first.dit.licence == "Apache-2.0"
    assert first.weights[1:] == second.weights[1:]


def test_get_variant_when_unknown_lists_the_slugs():
    with pytest.raises(InputError, match="lingbot-world-fast-taehv-window15-sink3"):
        get_variant("lingbot-world-slow")
