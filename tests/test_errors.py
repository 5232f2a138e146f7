# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from lingbot_core.errors import LingBotError


def test_message_names_what_got_need_and_do_in_order():
    assert str(LingBotError("It is so.", got="this", need="that", do="Do it.")) == (
        "It is so. Got: this. Needed: that. Do it."
    )


def test_message_of_a_librarys_words_is_one_line_with_one_full_stop():
    assert str(LingBotError("It is so.", got="line one\n  line two..", do="")) == "It is so. Got: line one line two."
