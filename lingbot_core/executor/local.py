# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""The executor of one process and one device: the default, also on the CPU."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from lingbot_core.arena import Arena, SnapshotStore
from lingbot_core.errors import Cancelled, InputError, LingBotError, WeightsError
from lingbot_core.executor.base import ChunkResult, EngineInfo, PassProgress, RolloutRequest
from lingbot_core.executor.side_work import OnTheWay, Previews, SideWork
from lingbot_core.executor.texts import encode_texts
from lingbot_core.image_latents import ImageLatents
from lingbot_core.journal import MemoryStore, RecordStore, read_known_chunks
from lingbot_core.kv_cache import SinkWindowKVCache
from lingbot_core.loader import LoadedModel, LoadedNetwork
from lingbot_core.models.offload import resident_bytes
from lingbot_core.passes import NetworkPasses
from lingbot_core.rollout import ChunkRecord, Rollout, root_key
from lingbot_core.sampler import LatentChunk, PassMonitor, replay_chunks, stream_chunks
from lingbot_core.stats import ChunkStats, DeviceMark, StageTimer, memory_gib
from lingbot_core.text import text_key
from lingbot_core.timeline import camera_frame_indices, chunk_tokens, token_grid
from lingbot_core.transfer import to_device

MAX_PHOTOS = 4
"""Photos whose latents are kept (5.8 MB each at 464x832)."""


class LocalExecutor:
    """Runs requests in this process; see :class:`lingbot_core.executor.base.Executor`.

    Keeps between requests: the arena (KV ring and decoder state) of the last frame size,
    photo latents, and snapshots. A request takes from the store what is known of it and
    computes the rest. The text encoder stays from the first prompt until a request runs.

    Args:
        model: The model; may be shared by executors.
        store: Where records live; None keeps them in this process only.
        snapshot_budget_gib: Host memory for copies of the arena, one per finished request.
            With it, going back to an earlier path needs no replay. 0 keeps none.
    """

    def __init__(self, model: LoadedModel, store: RecordStore | None = None, snapshot_budget_gib: float = 0.0) -> None:
        self.model = model
        self.store: RecordStore = store if store is not None else MemoryStore()
        self._snapshots = SnapshotStore(int(snapshot_budget_gib * 2**30))
        self._arena: Arena | None = None
        self._arena_size = (0, 0)
        self._photos: OrderedDict[str, ImageLatents] = OrderedDict()
        self._busy = threading.Lock()
        self._side_work = SideWork(model.device)

    @property
    def info(self) -> EngineInfo:
        """What is loaded; see the protocol."""
        model = self.model
        return EngineInfo(
            device=model.device,
            dtype=model.dtype,
            decoder=model.decoder.identity,
            text_encoder=model.text.identity,
            text_dim=model.dit.config.text_dim,
            text_encoder_bytes=model.variant.text_encoder.about_bytes * model.dtype.itemsize // 4,  # published in fp32
            attention=model.attention.label,
            memory=model.memory,
        )

    def start(self, cancelled: Callable[[], bool] | None = None) -> None:
        """Nothing: the model is loaded."""

    @property
    def num_bytes(self) -> int:
        """Memory held: weights and state."""
        modules = (self.model.dit, self.model.decoder.module)
        return resident_bytes(weight for module in modules for weight in module.parameters()) + self.num_state_bytes

    @torch.inference_mode()
    def stream(
        self,
        request: RolloutRequest,
        *,
        on_progress: Callable[[PassProgress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        previews: bool = False,
    ) -> Generator[ChunkResult, None, None]:
        """Yield every chunk of a request in order; see the protocol."""
        with self._one_request():
            rollout = self._open_rollout(request, cancelled)
            self.model.text.release()  # what follows needs its memory: 11 GB at full size
            arena = self._arena_for(rollout.height, rollout.width)
            for index in range(rollout.num_known):
                yield self._recorded_chunk(rollout, arena, index)
            if rollout.num_known == rollout.num_chunks:
                return
            image_latents = self._image_latents(request.photo)
            arena.rewind(rollout.keys[: rollout.num_known], self._snapshots)
            replay = self._monitor(request, on_progress, cancelled, None)
            replay_chunks(self.model, rollout, arena, image_latents, replay)
            self._decode_recorded(rollout, arena, rollout.num_known - 1)

            looks = Previews(self.model.previewer if previews else None, self._side_work)
            monitor = self._monitor(request, on_progress, cancelled, looks)
            yield from self._generate(request, rollout, arena, image_latents, monitor, looks)
            self._snapshots.keep(arena)

    def _generate(
        self,
        request: RolloutRequest,
        rollout: Rollout,
        arena: Arena,
        image_latents: ImageLatents,
        monitor: PassMonitor,
        looks: Previews,
    ) -> Iterator[ChunkResult]:
        """Yield the unknown chunks: each as soon as its frames are there, while the next one is in work."""
        pending: dict[int, OnTheWay] = {}
        started: deque[LatentChunk] = deque()  # the chunk before the one in work, until it is ready
        last_ready, stopped = DeviceMark(self.model.device), None

        def decode(index: int, latents: Tensor, timer: StageTimer) -> None:
            looks.start(rollout.keys, index, latents, timer)
            pending[index] = self._decode(arena, rollout.keys[index], latents, timer)

        def finish(chunk: LatentChunk) -> ChunkResult:
            nonlocal last_ready
            result = pending.pop(chunk.index)
            wall_ms, last_ready = result.ready.milliseconds_since(last_ready), result.ready
            return self._finish_chunk(request, rollout, chunk, result, wall_ms)

        with closing(stream_chunks(self.model, rollout, arena, image_latents, monitor, decode)) as stream:
            try:
                try:
                    for chunk in stream:
                        if chunk is not None:
                            started.append(chunk)
                        while started and started[0].timer.is_done():
                            yield finish(started.popleft())
                except Cancelled as error:
                    stopped = error
                while started:
                    yield finish(started.popleft())
            finally:  # what the network has finished is not lost, however this ends
                while started:
                    finish(started.popleft())
        if stopped is not None:
            raise stopped

    def encode_texts(
        self,
        prompts: Sequence[str],
        *,
        on_warning: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Tensor]:
        """Encode prompts; those encoded before come from the store. See the protocol."""
        return encode_texts(self.model.text, self.store, prompts, on_warning, cancelled)

    def knows_text(self, prompt: str) -> bool:
        """Whether a prompt's encoding is in the store, so that the encoder will not be needed."""
        return self.store.read_text(text_key(self.model.text.identity, prompt)) is not None

    @property
    def holds_text_encoder(self) -> bool:
        """Whether the text encoder is in memory."""
        return self.model.text.is_loaded

    def release_text_encoder(self) -> None:
        """Free the text encoder."""
        self.model.text.release()

    @property
    def num_state_bytes(self) -> int:
        """Memory that :meth:`close` would free: arena, snapshots, photo latents and encoders."""
        arena = self._arena.num_bytes if self._arena is not None else 0
        photos = sum(image_latents.num_bytes for image_latents in self._photos.values())
        return arena + self._snapshots.num_bytes + photos + self.model.text.num_bytes

    def close(self) -> None:
        """Free device state, encoders and snapshots; the next request makes them anew. Records stay."""
        self._arena = None
        self._snapshots.clear()
        for image_latents in self._photos.values():
            image_latents.release()
        self._photos.clear()
        self.model.text.release()

    @contextmanager
    def _one_request(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise LingBotError("This engine is already running a request.", do="Wait for it or stop it first.")
        try:
            yield
        finally:
            self._busy.release()

    def _monitor(
        self,
        request: RolloutRequest,
        on_progress: Callable[[PassProgress], None] | None,
        cancelled: Callable[[], bool] | None,
        looks: Previews | None,
    ) -> PassMonitor:
        """Between the passes; without previews they are those of a replay."""

        def on_pass(chunk_index: int, pass_index: int, num_passes: int) -> None:
            if on_progress is not None:
                preview = None if looks is None else looks.take(chunk_index)
                place = chunk_index, request.num_chunks, pass_index, num_passes
                on_progress(PassProgress(*place, replaying=looks is None, preview=preview))

        return PassMonitor(self.model.device, on_pass, cancelled)

    # --- the parts of a request ---------------------------------------------------------

    def _open_rollout(self, request: RolloutRequest, cancelled: Callable[[], bool] | None) -> Rollout:
        """Keys of the request, and the records of its longest known beginning."""
        height, width = request.photo.shape[:2]
        embeddings = self._text_embeddings(request, cancelled)
        starts = [event.chunk_index for event in request.text]
        in_force = [sum(start <= index for start in starts) - 1 for index in range(request.num_chunks)]
        model = self.model
        facts = {
            "checkpoint": model.identity,
            "precision": model.precision,
            "schedule": model.schedule.name,
            "window_chunks": model.window_chunks,
            "sink_chunks": model.sink_chunks,
            "image_mode": model.options.image_mode,
        }
        if not model.attention.is_exact:
            facts["attention"] = model.attention.name
        rollout = Rollout.open(
            root_key(request.photo, request.seed, facts),
            request.seed,
            (height, width),
            [request.camera.chunk(index, height, width) for index in range(request.num_chunks)],
            [embeddings[event] for event in in_force],
        )
        read_known_chunks(self.store, rollout)
        return rollout

    def _text_embeddings(self, request: RolloutRequest, cancelled: Callable[[], bool] | None) -> list[Tensor]:
        """One bf16 embedding per text event."""
        config = self.model.dit.config
        shape = (config.text_len, config.text_dim)
        prompts = [event.prompt for event in request.text if event.embedding is None]
        encoded = iter(self.encode_texts(prompts, cancelled=cancelled))
        embeddings = []
        for event in request.text:
            embedding = next(encoded) if event.embedding is None else event.embedding.to("cpu", torch.bfloat16)
            if tuple(embedding.shape) != shape:
                raise InputError(
                    f"The text encoding for chunk {event.chunk_index} has the wrong shape.",
                    got=str(tuple(embedding.shape)),
                    need=f"{shape}, as UMT5-XXL gives it",
                )
            embeddings.append(embedding)
        return embeddings

    def _arena_for(self, height: int, width: int) -> Arena:
        """The arena for a frame size; one of another size is freed first."""
        if self._arena is None or self._arena_size != (height, width):
            self._arena = None
            self._snapshots.clear()
            cache, passes = self._make_passes(height, width)
            self._arena, self._arena_size = Arena(passes, cache, self.model.decoder), (height, width)
        return self._arena

    def _make_passes(self, height: int, width: int) -> tuple[SinkWindowKVCache, NetworkPasses]:
        """An empty KV ring for a frame size, and the passes over it."""
        cache = SinkWindowKVCache(*cache_sizes(self.model, height, width))
        return cache, NetworkPasses(self.model.dit, cache, self.model.schedule, token_grid(height, width))

    def _image_latents(self, photo: Tensor) -> ImageLatents:
        """Latents of a photo; only the newest photo may hold an encoder."""
        key = hashlib.blake2b(photo.numpy().tobytes() + bytes(str(photo.shape), "ascii"), digest_size=20).hexdigest()
        if key not in self._photos:
            for other in self._photos.values():
                other.release()
            while len(self._photos) >= MAX_PHOTOS:
                self._photos.popitem(last=False)
            model = self.model
            self._photos[key] = ImageLatents(
                photo, model.build_image_encoder, model.options.image_mode, model.device, model.dtype
            )
        self._photos.move_to_end(key)
        return self._photos[key]

    # --- frames -------------------------------------------------------------------------

    def _decode(self, arena: Arena, key: str, latents: Tensor, timer: StageTimer) -> OnTheWay:
        """Start decoding the next chunk: its latents and frames, uint8 ``[F, H, W, 3]``."""
        return self._side_work.start(latents, "decode", timer, lambda: (latents, arena.decode(key, latents)))

    def _decode_recorded(self, rollout: Rollout, arena: Arena, index: int) -> np.ndarray | None:
        """Bring the decoder behind a recorded chunk, or with -1 to the start; its frames, or None if it stood there."""
        frames = None
        for chunk_index in range(arena.decoder_rewind(rollout.keys[: index + 1]), index + 1):
            key = rollout.keys[chunk_index]
            latents = to_device(rollout.records[chunk_index].latents, self.model.device).to(self.model.dtype)
            frames = self._decode(arena, key, latents, StageTimer(self.model.device)).wait()[1].numpy()
            if self.store.read_frames(key, self.model.decoder.identity) is None:
                self.store.write_frames(key, self.model.decoder.identity, frames)
        return frames

    def _recorded_chunk(self, rollout: Rollout, arena: Arena, index: int) -> ChunkResult:
        """A known chunk, decoded only when its frames were dropped."""
        record = rollout.records[index]
        frames = self.store.read_frames(record.key, self.model.decoder.identity)
        if frames is None:
            frames = self._decode_recorded(rollout, arena, index)
        if frames is None:  # the decoder is already behind this chunk: start anew
            arena.decoder_path, arena.decoder_state = [], None
            frames = self._decode_recorded(rollout, arena, index)
        assert frames is not None, record.key
        stats = replace(ChunkStats.from_dict(record.stats), reused=True)
        return ChunkResult(index, record.key, record.latents, frames, stats, reused=True)

    def _finish_chunk(
        self, request: RolloutRequest, rollout: Rollout, chunk: LatentChunk, result: OnTheWay, wall_ms: float
    ) -> ChunkResult:
        """Record a chunk that is done."""
        index, timer = chunk.index, chunk.timer
        latents, frames = result.wait()
        frames = frames.numpy()
        if not latents.isfinite().all():
            raise WeightsError(
                f"The latents of chunk {index} are not finite numbers; it is not kept.",
                do="A file of the checkpoint is damaged: download it again.",
            )
        alloc, reserved, peak = memory_gib(self.model.device)
        stats = ChunkStats(
            autoregressive_index=index,
            encode_ms=timer.milliseconds("encode"),
            diffuse_ms=timer.milliseconds("diffuse"),
            decode_ms=timer.milliseconds("decode"),
            finalize_ms=timer.milliseconds("finalize"),
            mem_alloc_gib=alloc,
            mem_reserved_gib=reserved,
            mem_peak_gib=peak,
            wall_ms=wall_ms,
            num_frames=len(frames),
            pass_ms=timer.spans("pass"),
            attention=self.model.attention.label,
        )
        record = ChunkRecord(
            key=rollout.keys[index],
            parent=rollout.parent_key(index),
            index=index,
            latents=latents,
            rng_state=chunk.rng_state,
            camera_anchor=request.camera.c2w[camera_frame_indices(index)[-1]].clone(),
            text_id=rollout.text_ids[index],
            stats=asdict(stats),
        )
        self.store.write_chunk(record)
        self.store.write_frames(record.key, self.model.decoder.identity, frames)
        rollout.append(record)
        return ChunkResult(index, record.key, latents, frames, stats, reused=False)


def cache_sizes(
    model: LoadedModel | LoadedNetwork, height: int, width: int
) -> tuple[int, int, int, int, int, int, torch.dtype, torch.device]:
    """Arguments of :class:`SinkWindowKVCache` for a model's runs at a frame size."""
    config, num_tokens = model.dit.config, chunk_tokens(height, width)
    sizes = config.num_layers, config.num_heads, config.head_dim, num_tokens, model.window_chunks, model.sink_chunks
    return *sizes, model.dtype, model.device
