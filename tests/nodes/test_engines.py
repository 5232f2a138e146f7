# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
import time
import weakref
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lingbot_core import preflight
from lingbot_core.errors import Cancelled, ResourceError, WeightsError, stop_if
from lingbot_core.executor import opening
from lingbot_core.executor.base import RolloutRequest
from lingbot_core.executor.local import LocalExecutor
from lingbot_core.journal import Journal
from nodes.engines import Engine, EngineRegistry
from nodes.tokens import ModelToken, RolloutToken
from tests.tiny_engine import HEIGHT, WIDTH, CountingTextEncoder, ModelOptions, build_model, make_request

TOKEN = ModelToken("lingbot-world-fast-taehv-window15-sink3", ModelOptions(device="cpu"))


class RecordingHost:
    """A host that notes what it is asked."""

    def __init__(self) -> None:
        self.rooms: list[int] = []
        self.held: list[int] = []

    def make_room(self, engine: Engine, num_bytes: int) -> None:
        self.rooms.append(num_bytes)

    def hold(self, engine: Engine) -> None:
        self.held.append(engine.num_bytes)


class Loads:
    """Stands for ``load_model``: tiny models, and a list of what became of them."""

    def __init__(self) -> None:
        self.models: list[weakref.ref] = []
        self.options: list[ModelOptions] = []
        self.identity = "tiny"

    def __call__(self, variant, options, on_progress, make_room, cancelled):
        on_progress("Loading")
        self.options.append(options)
        make_room(1000)
        model = build_model()
        object.__setattr__(model, "identity", self.identity)
        self.models.append(weakref.ref(model))
        return model


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    monkeypatch.setattr(opening, "load_model", loads)
    return loads


@pytest.fixture
def host() -> RecordingHost:
    return RecordingHost()


@pytest.fixture
def registry(tmp_path: Path, host: RecordingHost, loads: Loads) -> EngineRegistry:
    return EngineRegistry(lambda: Journal(tmp_path / "journal"), host)


def quiet(text: str) -> None:
    """Hears and says nothing."""


def generate(registry: EngineRegistry, num_chunks: int) -> tuple[RolloutToken, int]:
    """A rollout, and how many of its chunks were computed."""
    request: RolloutRequest = make_request(num_chunks)
    with registry.engine(TOKEN).session(quiet, (HEIGHT, WIDTH)) as executor:
        chunks = list(executor.stream(request))
        decoder = executor.info.decoder
    num_reused = sum(chunk.reused for chunk in chunks)
    return RolloutToken(TOKEN, request, tuple(chunk.key for chunk in chunks), decoder, num_reused), (
        num_chunks - num_reused
    )


def test_engine_when_token_is_made_again_is_the_same_and_loads_once(registry: EngineRegistry, loads: Loads):
    again = ModelToken(TOKEN.slug, ModelOptions(device="cpu"))
    assert again == TOKEN and registry.engine(again) is registry.engine(TOKEN)
    assert not loads.models, "an engine loads before it is needed"
    for _ in range(2):
        with registry.engine(TOKEN).session(quiet):
            pass
    assert len(loads.models) == 1
    assert registry.engine(ModelToken(TOKEN.slug, ModelOptions(device="cpu", precision="bf16"))) is not registry.engine(
        TOKEN
    )


def test_engine_when_asked_for_in_other_words_is_the_same_and_is_loaded_by_the_last_ones(
    registry: EngineRegistry, loads: Loads
):
    spellings = [{}, {"allow_download": False}, {"precision": "fp32"}, {"attention": "sdpa"}, {"schedule": "bf16"}]
    tokens = [ModelToken(TOKEN.slug, ModelOptions(device="cpu", **options)) for options in spellings]
    for token in tokens:
        with registry.engine(token).session(quiet):
            pass
    assert len(loads.models) == 1 and len({registry.engine(token) for token in tokens}) == 1
    registry.engine(TOKEN).free_all()
    with registry.engine(tokens[1]).session(quiet):
        pass
    assert [options.allow_download for options in loads.options] == [True, False]


def test_engine_that_downloaded_its_files_serves_all_who_find_them_there(
    registry: EngineRegistry, loads: Loads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    there: dict[str, Path] = {}
    monkeypatch.setattr(
        "nodes.model_key._files", lambda token, run: tuple((role, there.get(role)) for role in ("dit", "vae"))
    )
    there["vae"] = tmp_path / "vae"
    with registry.engine(TOKEN).session(quiet):
        there["dit"] = tmp_path / "dit"  # arrives
    offline = ModelToken(TOKEN.slug, ModelOptions(device="cpu", allow_download=False))
    assert registry.engine(offline) is registry.engine(TOKEN)
    there["vae"] = tmp_path / "other"
    other = ModelToken(TOKEN.slug, ModelOptions(device="cpu", allow_download=False, schedule="fp32"))
    changed = ModelToken(TOKEN.slug, ModelOptions(device="cpu", precision="fp32"))
    assert len({registry.engine(token) for token in (TOKEN, other, changed)}) == 3
    assert len(loads.models) == 1


def test_engine_when_its_file_is_gone_goes_on_until_it_is_freed(registry: EngineRegistry, tmp_path: Path):
    path = tmp_path / "vae.safetensors"
    path.write_bytes(b"")
    token = ModelToken(TOKEN.slug, ModelOptions(device="cpu", vae_file=path))
    engine = registry.engine(token)
    with engine.session(quiet):
        pass
    path.unlink()
    assert registry.engine(token) is engine and engine is not registry.engine(TOKEN)
    engine.free_all()
    with pytest.raises(WeightsError, match="does not exist"):
        registry.engine(token)


def test_engine_when_another_file_takes_the_usual_name_loads_that_and_leaves_the_first_alone(
    registry: EngineRegistry, loads: Loads, tmp_path: Path
):
    names, folder = ("wan_2.1_vae.safetensors", "Wan2.1_VAE.safetensors"), tmp_path / "vae"
    folder.mkdir()
    (folder / names[0]).write_bytes(b"")
    options = ModelOptions(device="cpu", model_dirs=(tmp_path,))
    token, chosen = (ModelToken(TOKEN.slug, replace(options, vae_file=file)) for file in (None, folder / names[0]))
    engine = registry.engine(token)
    assert registry.engine(chosen) is engine
    (folder / names[1]).write_bytes(b"")  # comes before the other
    assert registry.engine(token) is not engine
    with registry.engine(chosen).session(quiet):
        pass
    assert registry.engine(chosen) is engine and loads.options[-1].vae_file == folder / names[0]


def test_session_tells_the_host_before_memory_is_needed_and_after_it_was_taken(
    registry: EngineRegistry, host: RecordingHost
):
    engine = registry.engine(TOKEN)
    assert engine.num_bytes == 0
    generate(registry, 1)
    assert host.rooms[0] == 1000 and host.rooms[1] > 0, "room for the model, then for its run"
    assert host.held[-1] == engine.num_bytes > host.held[0] > 0


def test_free_when_a_little_is_wanted_gives_caches_and_keeps_weights(registry: EngineRegistry, loads: Loads):
    engine = registry.engine(TOKEN)
    generate(registry, 2)
    before = engine.num_bytes
    assert 1 <= engine.free(1) == before - engine.num_bytes and engine.num_bytes > 0
    _, num_computed = generate(registry, 3)
    assert num_computed == 1 and len(loads.models) == 1


@pytest.mark.parametrize("num_times", [1, 2])
def test_free_when_much_is_wanted_gives_everything_and_the_next_run_goes_on(
    registry: EngineRegistry, loads: Loads, num_times: int
):
    engine = registry.engine(TOKEN)
    generate(registry, 2)
    before = engine.num_bytes
    assert engine.free(10**15) == before
    for _ in range(num_times):
        engine.free_all()
    gc.collect()
    assert engine.num_bytes == 0 and loads.models[0]() is None, "something still holds the model"
    _, num_computed = generate(registry, 3)
    assert num_computed == 1 and len(loads.models) == 2


def test_free_when_in_use_waits_until_the_session_ends(registry: EngineRegistry, host: RecordingHost):
    engine = registry.engine(TOKEN)
    with engine.session(quiet) as executor:
        assert engine.free(1) == 0 and engine.num_bytes > 0
        engine.free_all()
        assert len(list(executor.stream(make_request(1)))) == 1
    assert engine.num_bytes == 0 and host.held[-1] == 0


def test_session_when_memory_runs_out_says_so_and_gives_everything_back(registry: EngineRegistry):
    generate(registry, 1)
    engine, message = registry.engine(TOKEN), r"memory of cpu ran out.*GiB for it.*kv cache.*Close other programs"
    with pytest.raises(ResourceError, match=message), engine.session(quiet, (HEIGHT, WIDTH)):
        raise torch.OutOfMemoryError("too much")
    assert engine.num_bytes == 0
    assert generate(registry, 2)[1] == 1


def test_session_when_the_run_does_not_fit_says_what_would_and_a_smaller_one_runs(
    registry: EngineRegistry, loads: Loads, monkeypatch: pytest.MonkeyPatch
):
    engine, room = registry.engine(TOKEN), 2 * preflight.GIB
    monkeypatch.setattr(preflight, "free_memory", lambda device: room)
    with pytest.raises(ResourceError, match=r"Not enough memory on cpu.*kv cache.*frames of"):
        with engine.session(quiet, (1600, 1600)):
            pass
    assert generate(registry, 1)[1] == 1 and len(loads.models) == 1
    room = 0  # its caches are there, so this run fits
    assert generate(registry, 2)[1] == 1


def test_model_is_loaded_for_the_frames_that_will_be_made(registry: EngineRegistry, loads: Loads):
    with registry.engine(TOKEN).session(quiet):
        pass
    registry.engine(TOKEN).free_all()
    generate(registry, 1)
    assert [options.frame_size for options in loads.options] == [preflight.SMALLEST_FRAME, (HEIGHT, WIDTH)]


def test_session_when_loading_fails_can_be_tried_again(registry: EngineRegistry, monkeypatch: pytest.MonkeyPatch):
    def fail(*args, **options):
        raise WeightsError("A file is damaged.")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "load_model", fail)
        with pytest.raises(WeightsError), registry.engine(TOKEN).session(quiet):
            pass
    assert generate(registry, 1)[1] == 1


def test_session_when_cancelled_while_loading_stays_empty_and_can_be_tried_again(
    registry: EngineRegistry, host: RecordingHost, loads: Loads, monkeypatch: pytest.MonkeyPatch
):
    def load_slowly(variant, options, on_progress, make_room, cancelled):
        for _ in range(100):
            stop_if(cancelled, "Stopped while weights were read.")
            time.sleep(0.05)

    began_sec, engine = time.monotonic(), registry.engine(TOKEN)
    with monkeypatch.context() as patch:
        patch.setattr(opening, "load_model", load_slowly)
        with pytest.raises(Cancelled):
            with engine.session(quiet, cancelled=lambda: time.monotonic() > began_sec + 0.3):
                pytest.fail("it was loaded")
    assert time.monotonic() - began_sec < 1.3
    assert engine.num_bytes == 0 and host.held[-1] == 0 and not loads.models
    assert generate(registry, 1)[1] == 1


def test_text_encoder_is_freed_before_the_caches_when_memory_is_wanted(registry: EngineRegistry, loads: Loads):
    engine = registry.engine(TOKEN)
    generate(registry, 1)
    model = loads.models[0]()
    assert model is not None
    model.text.num_loads = 0
    with engine.session(quiet) as executor:
        before = engine.num_bytes
        for prompt in ("snow", "rain"):
            executor.encode_texts([prompt])
    assert engine.num_bytes == before + CountingTextEncoder.BYTES
    assert model.text.num_loads == 1
    assert engine.free(1) == CountingTextEncoder.BYTES and engine.num_bytes == before
    assert engine.free(1) > 1, "caches"
    with engine.session(quiet, (HEIGHT, WIDTH)) as executor:
        executor.encode_texts(["hail"])
        list(executor.stream(make_request(1)))
        assert not executor.holds_text_encoder and model.text.num_loads == 2
    with engine.session(quiet) as executor:
        executor.encode_texts(["wind"])
    engine.free_all()
    assert not model.text.is_loaded


def test_chunks_when_recorded_needs_no_engine(registry: EngineRegistry, loads: Loads):
    generate(registry, 1)
    rollout, _ = generate(registry, 2)
    registry.engine(TOKEN).free_all()
    with closing(registry.chunks(rollout, quiet)) as chunks:
        read = list(chunks)
    assert [chunk.key for chunk in read] == list(rollout.keys) and len(loads.models) == 1
    assert [chunk.stats.reused for chunk in read] == [True, False], "as the run that made the rollout saw it"


def test_chunks_when_frames_are_lost_makes_only_those_again(registry: EngineRegistry, tmp_path: Path):
    rollout, _ = generate(registry, 3)
    with closing(registry.chunks(rollout, quiet)) as chunks:
        before = [torch.tensor(chunk.frames) for chunk in chunks]
    lost = list((tmp_path / "journal" / "frames").glob(f"{rollout.keys[1]}*"))
    assert len(lost) == 1
    lost[0].unlink()
    with closing(registry.chunks(rollout, quiet, on_progress=lambda _: pytest.fail("the network ran"))) as chunks:
        after = [torch.tensor(chunk.frames) for chunk in chunks]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) and len(after) == 3


def test_chunks_when_records_are_lost_and_the_files_have_changed_says_so(
    registry: EngineRegistry, tmp_path: Path, loads: Loads
):
    rollout, _ = generate(registry, 2)
    for file in (tmp_path / "journal" / "chunks").iterdir():
        file.unlink()
    loads.identity = "other files"
    registry.engine(TOKEN).free_all()
    with pytest.raises(WeightsError, match="have changed"), closing(registry.chunks(rollout, quiet)) as chunks:
        list(chunks)


class FakeGroup:
    """Stands for an executor with processes: counts starts and ends."""

    holds_text_encoder = False

    def __init__(self, variant, options, store, budget, *, say, make_room) -> None:
        self.num_starts = self.num_ends = 0
        self.num_bytes = 0
        self._make_room = make_room

    @property
    def info(self):
        return LocalExecutor(build_model()).info

    def start(self, cancelled=None) -> None:
        if not self.num_bytes:
            self._make_room(1000)
            self.num_starts += 1
            self.num_bytes = 5000

    def close(self) -> None:
        self.num_bytes = 0
        self.num_ends += 1


def test_processes_of_several_gpus_stay_until_memory_is_wanted_and_only_one_group_runs(
    registry: EngineRegistry, host: RecordingHost, monkeypatch: pytest.MonkeyPatch
):
    groups: list[FakeGroup] = []
    monkeypatch.setattr(
        opening, "ProcessGroupExecutor", lambda *a, **b: groups.append(FakeGroup(*a, **b)) or groups[-1]
    )
    tokens = [ModelToken(TOKEN.slug, ModelOptions(device="cpu", num_gpus=count)) for count in (2, 4)]
    first, second = (registry.engine(token) for token in tokens)
    for _ in range(2):
        with first.session(quiet):
            pass
    assert len(groups) == 1 and groups[0].num_starts == 1 and host.held[-1] == 5000
    assert first.free(1) == 5000 and groups[0].num_ends == 1, "of processes everything is given back"
    with first.session(quiet):
        pass
    with second.session(quiet):
        assert first.num_bytes == 0 and second.num_bytes == 5000
    groups[-1].num_bytes = 0  # they died
    with second.session(quiet):
        assert groups[-1].num_starts == 2
    generate(registry, 1)  # one GPU in this process: its own way of sharing memory
    assert second.num_bytes == 5000
    second.free_all()
    assert second.num_bytes == 0


def test_tokens_when_printed_are_short(registry: EngineRegistry):
    rollout, _ = generate(registry, 1)
    assert str(rollout) == f"LingBot rollout of 1 chunks, {HEIGHT}x{WIDTH}, {TOKEN.slug}"
    assert repr([TOKEN]) == f"[LingBot model {TOKEN.slug}]"
