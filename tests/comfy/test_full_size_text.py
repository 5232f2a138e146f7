# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The text encoder at full size, as the core's CLIP nodes and ours load it, with random weights.

The core has no smaller ``wan`` text encoder, so this is run by hand and not with the other tests:

    LINGBOT_WEIGHTS=/tmp LINGBOT_FULL_SIZE_TEXT=1 python -m pytest -s tests/comfy/test_full_size_text.py

It has the marker ``weights`` for what it takes, although it makes its own: about 14 GB of free memory, some seven
minutes on two cores, and 12 GB in the folder that ``LINGBOT_WEIGHTS`` names, which are given back at the end.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
import torch

from lingbot_core.models.umt5 import UMT5EncoderConfig, native_shapes
from lingbot_core.random_weights import random_tensor
from lingbot_core.safetensors_io import SafetensorsWriter, read_header, read_tensor
from tests.comfy import client as client_module
from tests.comfy.client import Client, Graph, Run
from tests.comfy.comfy_host import ComfyBase, ComfyHost, ComfyServer
from tests.comfy.graphs import HEIGHT, MODEL, SAMPLER, SAVE, TEXT, WIDTH, node, video_graph

pytestmark = [
    pytest.mark.comfy,
    pytest.mark.weights,
    pytest.mark.skipif(os.environ.get("LINGBOT_FULL_SIZE_TEXT") != "1", reason="LINGBOT_FULL_SIZE_TEXT is not 1"),
]

FILE = "umt5_xxl_fp16.safetensors"
"""As Comfy-Org calls it."""

PROMPT = "a quiet street at dawn, the camera moves forward"
"""Nothing in it is changed by cleaning or read as a weight, so that core and we see the same text."""

NUM_FILLERS = 256_300
"""Unused tokens beside the trained ones, so that there are about as many as in the published tokenizer."""

RUN_SEC = 900

CLIP, LATENT, ENCODING = "20", "21", "22"
"""Ids of the nodes added to :func:`video_graph`."""

TRAIN = """
import sys
from sentencepiece import SentencePieceTrainer
SentencePieceTrainer.train(sentence_iterator=iter(sys.argv[2:] * 20), model_prefix=sys.argv[1], vocab_size=60,
    hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
"""
"""Run by the host's Python, which has the package."""


@dataclass
class Measured:
    """A run with the encoding that its sampler was given."""

    run: Run
    encoding: torch.Tensor
    latent: torch.Tensor


@pytest.fixture(scope="module")
def base(comfy_host: ComfyHost, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[ComfyBase]:
    """Folders with the text encoder, and with all of the tiny checkpoint but its text encoder and tokenizer."""
    folder = tmp_path_factory.mktemp("full_size_text")
    base = ComfyBase(folder / "base")
    for organisation in ("robbyant", "lightx2v"):
        (base.models / organisation).symlink_to(tiny_checkpoint / organisation, target_is_directory=True)
    with tempfile.TemporaryDirectory(dir=os.environ["LINGBOT_WEIGHTS"], prefix="lingbot_umt5_") as weights:
        start = time.monotonic()
        path = Path(weights) / FILE
        write_text_encoder(path, train_tokenizer(comfy_host, folder))
        print(f"\n{FILE}: {path.stat().st_size / 1e9:.2f} GB written in {time.monotonic() - start:.0f} s")
        (base.models / "text_encoders").mkdir()
        (base.models / "text_encoders" / FILE).symlink_to(path)
        yield base


def train_tokenizer(host: ComfyHost, folder: Path) -> torch.Tensor:
    """A SentencePiece model of a few words, filled up to the published number of tokens; uint8 ``[n]``."""
    sentences = [PROMPT, "snow on the mountains", "a boat crosses the lake", "trees bend in the wind"]
    subprocess.run([str(host.python), "-c", TRAIN, str(folder / "spiece"), *sentences], check=True)
    model = bytearray((folder / "spiece.model").read_bytes())
    for index in range(NUM_FILLERS):
        name = f"<filler {index:06d}>".encode()
        piece = b"\x0a%c%b\x15\0\0\0\0\x18\x05" % (len(name), name)  # name, score 0, type UNUSED
        model += b"\x0a%c%b" % (len(piece), piece)
    return torch.frombuffer(model, dtype=torch.uint8)


def write_text_encoder(path: Path, tokenizer: torch.Tensor) -> None:
    """Write the file that ComfyUI's users have, tensor by tensor."""
    shapes = native_shapes(UMT5EncoderConfig.umt5_xxl())
    table = {name: (shape, torch.float16) for name, shape in shapes.items()}
    table["spiece_model"] = (tuple(tokenizer.shape), torch.uint8)
    generator = torch.Generator().manual_seed(0)
    with SafetensorsWriter(path, table) as writer:
        writer.write("spiece_model", tokenizer)
        for name, shape in shapes.items():
            # UMT5 does not scale its attention: what keeps the scores near one is in its queries
            scale = 64**-0.5 if name.endswith(".q.weight") else 1.0
            writer.write(name, random_tensor(name, shape, generator).mul_(scale).to(torch.float16))


def measure(host: ComfyHost, base: ComfyBase, graph: Graph, prefix: str) -> Measured:
    """Run a graph on a server of its own, keeping the encoding and the latents; says what it took."""
    graph[LATENT] = node("SaveLatent", samples=(SAMPLER, 1), filename_prefix=f"{prefix}_latent")
    graph[ENCODING] = node("LingBotTestSaveConditioning", conditioning=(TEXT, 0), name=f"{prefix}_encoding")
    server = ComfyServer(host, base)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client_module, "RUN_SEC", RUN_SEC)
            run = Client(server).run(graph)
        print(f"\n{prefix}: {describe(run, graph)}; {peak_memory(server)}")
    finally:
        server.stop()
    assert run.end == "execution_success", run.error or run.refusal or run.log[-3000:]
    assert run.chunks == [(0, 1)]
    latents = list(base.output.glob(f"{prefix}_latent*.latent"))
    assert len(latents) == 1
    encoding = read(base.output / f"{prefix}_encoding.safetensors", "encoding")
    return Measured(run, encoding, read(latents[0], "latent_tensor"))


def describe(run: Run, graph: Graph) -> str:
    """Seconds of every node."""
    starts = [(second, data["node"]) for second, type_, data in run.events if type_ == "executing"]
    ends = [second for second, _ in starts[1:]] + [run.events[-1][0]]
    nodes = [
        f"{graph[node_id]['class_type']} {end - start:.1f} s"
        for (start, node_id), end in zip(starts, ends, strict=True)
        if node_id is not None
    ]
    return f"{run.events[-1][0]:.1f} s ({', '.join(nodes)})"


def peak_memory(server: ComfyServer) -> str:
    """Largest resident size of the server so far, where the system tells."""
    status = Path(f"/proc/{server._process.pid}/status")
    lines = status.read_text("utf-8").splitlines() if status.is_file() else []
    return next((f"peak memory {int(line.split()[1]) / 2**20:.1f} GiB" for line in lines if "VmHWM" in line), "")


def read(path: Path, name: str) -> torch.Tensor:
    """One tensor of a safetensors file."""
    return read_tensor(path, read_header(path).entries[name])


def check_outputs(measured: Measured, base: ComfyBase) -> None:
    """The video with its stats, the latents, and the encoding's form."""
    video = base.output / measured.run.outputs[SAVE]["images"][0]["filename"]
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.average_rate) == (HEIGHT, WIDTH, 16)
        assert sum(1 for _ in container.decode(stream)) == 9
    assert (base.output / f"stats_{video.stem}.json").is_file()
    assert measured.latent.isfinite().all() and measured.latent.std() > 0
    assert measured.encoding.shape == (1, 512, 4096) and measured.encoding.isfinite().all()


def num_tokens(encoding: torch.Tensor) -> int:
    """Rows before the zeros; there are none among them."""
    used = encoding[0].ne(0).any(dim=1)
    count = int(used.sum())
    assert used[:count].all()
    return count


@pytest.fixture(scope="module")
def core(comfy_host: ComfyHost, base: ComfyBase, tiny_checkpoint: Path) -> Measured:
    """Core CLIP Text Encode into our sampler."""
    graph = video_graph(str(tiny_checkpoint), 1, 1)
    graph[CLIP] = node("CLIPLoader", clip_name=FILE, type="wan")
    graph[TEXT] = node("CLIPTextEncode", text=PROMPT, clip=(CLIP, 0))
    return measure(comfy_host, base, graph, "core")


def test_core_clip_text_encode_drives_the_sampler(core: Measured, base: ComfyBase) -> None:
    check_outputs(core, base)
    assert core.encoding.dtype == torch.float32
    assert 5 < num_tokens(core.encoding) < 100
    assert core.run.outputs[ENCODING]["keys"] == ["pooled_output"]


def test_own_text_encode_of_the_same_file_gives_what_the_core_gives(
    core: Measured, comfy_host: ComfyHost, base: ComfyBase
) -> None:
    graph = video_graph("", 1, 1)
    graph[MODEL]["inputs"].update(text_encoder=FILE, precision="bf16", download=False)
    graph[TEXT]["inputs"]["prompt"] = PROMPT
    own = measure(comfy_host, base, graph, "own")
    check_outputs(own, base)
    assert num_tokens(own.encoding) == num_tokens(core.encoding)
    difference = (own.encoding.float() - core.encoding).norm() / core.encoding.norm()
    print(f"\n{num_tokens(own.encoding)} tokens; ours in bf16 differs from the core's in fp32 by {difference:.4f}")
    assert difference < 0.1
