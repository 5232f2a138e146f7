# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes for text: prompts to CONDITIONING, and prompts that change while the video runs."""

from __future__ import annotations

from comfy_api.latest import io

from . import host
from .conditioning import Conditioning, add_event, from_embedding
from .messages import plain_errors
from .tokens import ModelToken, check_token
from .types import CATEGORY, ModelSocket


class LingBotTextEncode(io.ComfyNode):
    """A prompt as the model's own text encoder sees it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotTextEncode",
            display_name="LingBot Text Encode",
            category=f"{CATEGORY}/text",
            description="Encodes a prompt with the model's own text encoder. The encoder is loaded at the first prompt "
            "and freed when a video is made; a prompt that was encoded before needs none. Core CLIP Text Encode with a "
            "wan CLIP works as well.",
            inputs=[
                ModelSocket.Input("model", tooltip="From LingBot World Loader."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the video shows: the place, how it looks, what moves. The model reads 512 tokens.",
                ),
            ],
            outputs=[
                io.Conditioning.Output("conditioning", display_name="conditioning", tooltip="The encoded prompt."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @plain_errors
    def execute(cls, model: ModelToken, prompt: str) -> io.NodeOutput:
        check_token(model, ModelToken, "model", "LingBot World Loader")
        reporter = host.Reporter(cls.hidden.unique_id)
        warnings = [] if prompt.strip() else ["The prompt is empty."]
        engine, cancelled = host.ENGINES.engine(model), lambda: reporter.interrupted
        with reporter.interruptible(), engine.session(reporter.text, cancelled=cancelled) as executor:
            is_known = executor.knows_text(prompt)
            if not is_known:
                engine.make_room_for_text(executor)
                reporter.text("encoding the prompt")
            embedding = executor.encode_texts([prompt], on_warning=warnings.append, cancelled=cancelled)[0]
        for warning in warnings:
            reporter.warn(warning)
        if not is_known and not warnings:
            reporter.text("the prompt is encoded")
        return io.NodeOutput(from_embedding(embedding, prompt))


class LingBotTextEvents(io.ComfyNode):
    """Another prompt from some chunk on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LingBotTextEvents",
            display_name="LingBot Text Events",
            category=f"{CATEGORY}/text",
            description="Changes the prompt while the video runs. Chain several for several changes; "
            "what was generated before a change stays as it is.",
            inputs=[
                io.Conditioning.Input(
                    "conditioning", tooltip="The prompt so far: an encoded prompt, or another LingBot Text Events."
                ),
                io.Conditioning.Input("event", tooltip="The encoded prompt that holds from the chunk on."),
                io.Int.Input(
                    "chunk",
                    default=4,
                    min=1,
                    max=1000,
                    tooltip="First chunk with the new prompt. Chunk 0 is the beginning and lasts 9 frames, "
                    "each later one 12 frames (0.75 s).",
                ),
            ],
            outputs=[
                # ComfyUI 0.3.64 refuses an output of the same id as an input
                io.Conditioning.Output("schedule", display_name="conditioning", tooltip="The prompt with its changes."),
            ],
        )

    @classmethod
    @plain_errors
    def execute(cls, conditioning: Conditioning, event: Conditioning, chunk: int) -> io.NodeOutput:
        return io.NodeOutput(add_event(conditioning, event, chunk))
