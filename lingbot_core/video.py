# SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
# SPDX-License-Identifier: Apache-2.0
"""Video files, written frame by frame in constant memory and playable at any moment."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import av.container
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from lingbot_core.errors import InputError, OutputError

log = logging.getLogger(__name__)

_ENCODER_OPTIONS = {
    "crf": "18",
    "preset": "medium",
    # x264 holds back about 40 frames by default, and more with one thread per frame: a killed
    # process would lose minutes of work. This holds back six frames, half a chunk.
    "x264-params": "rc-lookahead=4:sync-lookahead=0:sliced-threads=1",
}
_FRAGMENTED = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
_FINISHED = {"movflags": "faststart+use_metadata_tags"}
_MAX_SIDE = 16384  # of x264
_WRITE_ERRORS = (OSError, FFmpegError)
_BT709 = 1  # ITU-T H.273 code of the colour primaries, the transfer function and the matrix alike


def part_path(path: Path) -> Path:
    """Where a video lies while it is being written: ``a/b.mp4`` -> ``a/b.part.mp4``."""
    return path.with_suffix(f".part{path.suffix}")


def _lock(path: Path) -> BinaryIO | None:
    """Keep other runs from writing this file until what is returned is closed; None where locks do not work.

    Raises:
        BlockingIOError: Another run writes it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise
        return None
    return file


def read_metadata(path: Path) -> dict[str, str]:
    """Free text by name that a video carries; empty when it cannot be read."""
    try:
        with av.open(str(path)) as container:
            return dict(container.metadata)
    except FFmpegError:
        return {}


class VideoWriter:
    """An H.264 mp4 that grows as frames come.

    Layout: frames go to ``<name>.part.mp4``, a fragmented mp4 that plays at any moment, so a killed
    process leaves all but the last few frames. Closing rewrites it, without encoding again, as
    ``<name>.mp4`` with its index in front, in one step: an older file of that name stays until then.

    Phases: construct (the file is opened, so a place that cannot be written to is found out before
    any work), :meth:`append` any number of times, :meth:`close` once. As a context manager it closes
    also after an error or Ctrl-C and keeps the frames so far. Without a frame no file is left and an
    older one stays.

    Encoding of one batch runs in a thread while the caller makes the next one.

    Args:
        path: The finished file. Its folder is made when missing.
        height: Frame height in pixels, even.
        width: Frame width in pixels, even.
        fps: Frames per second, above 0.
        metadata: Free text by name, kept in the finished file; see :func:`read_metadata`.

    Raises:
        InputError: ``fps`` or the size cannot be encoded.
        OutputError: The file cannot be made.
    """

    def __init__(
        self, path: Path, height: int, width: int, fps: float = 16, metadata: Mapping[str, str] | None = None
    ) -> None:
        rate = Fraction(fps).limit_denominator(1001) if 0 < fps < 1000 else Fraction(0)
        if rate <= 0:
            raise InputError("The frame rate cannot be used.", got=f"{fps} fps", need="more than 0 and less than 1000")
        if any(side % 2 or not 0 < side <= _MAX_SIDE for side in (height, width)):
            need = f"even height and width, at most {_MAX_SIDE}"
            raise InputError("The video size cannot be encoded.", got=f"{height}x{width}", need=need)
        self.path = Path(path)
        """The finished file; there after :meth:`close`."""
        self.num_frames = 0
        """Frames appended so far."""
        self._shape = (height, width, 3)
        self._rate = rate
        self._metadata = dict(metadata or {})
        self._part = part_path(self.path)
        self._lock: BinaryIO | None = None
        self._container = self._open_part()
        self._stream = self._add_stream()
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="video")
        self._pending: Future[None] | None = None
        self._closed = False

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except OutputError as error:
            if error_type is None:
                raise
            log.warning("%s", error)  # the error that ended the run is the one to show

    def append(self, frames: np.ndarray) -> None:
        """Encode frames behind those appended before.

        Args:
            frames: uint8 ``[F, H, W, 3]``, RGB; left unchanged until the next call by the caller.

        Raises:
            OutputError: These frames or those of the call before could not be written.
        """
        assert not self._closed, f"{self.path} is closed"
        assert frames.dtype == np.uint8 and frames.shape[1:] == self._shape, (frames.dtype, frames.shape, self._shape)
        self._wait()
        self._pending = self._encoder.submit(self._encode, frames, self.num_frames)
        self.num_frames += len(frames)

    def close(self) -> None:
        """Finish the file; a second call does nothing.

        Raises:
            OutputError: Frames could not be written. What is playable stays, and is named.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        finally:
            if self._lock is not None:
                self._lock.close()

    def _finish(self) -> None:
        """Write what is held back, and the finished file."""
        try:
            self._wait()
            if self.num_frames:
                self._mux(None)
        except _WRITE_ERRORS as error:
            raise self._output_error(error) from error
        finally:
            self._encoder.shutdown()
            self._close_part()
        if self.num_frames:
            self._remux()
        self._part.unlink(missing_ok=True)

    def _open_part(self) -> av.container.OutputContainer:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder", str(self.path))
            if self.path.exists() and not os.access(self.path, os.W_OK):
                raise PermissionError(errno.EACCES, "the file is write-protected", str(self.path))
            self._lock = _lock(self._part)
            return av.open(str(self._part), "w", format="mp4", options=_FRAGMENTED)
        except BlockingIOError as error:
            raise OutputError(
                f"The video {self.path} is being written by another run.",
                do="Wait for it or stop it, or choose another folder with --output-dir.",
            ) from error
        except _WRITE_ERRORS as error:
            raise self._output_error(error) from error

    def _add_stream(self) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate, options=_ENCODER_OPTIONS)
        stream.height, stream.width, stream.pix_fmt = self._shape[0], self._shape[1], "yuv420p"
        stream.time_base = 1 / self._rate
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        try:
            self._container.start_encoding()  # writes the header now, so that the file plays from the first frame on
        except _WRITE_ERRORS as error:
            raise self._output_error(error) from error
        return stream

    def _encode(self, frames: np.ndarray, first_index: int) -> None:
        for index, pixels in enumerate(frames, start=first_index):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            frame.pts, frame.time_base = index, 1 / self._rate
            self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        """Encode one frame, or with None those still held back."""
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _wait(self) -> None:
        """Wait for the batch that is being encoded and raise its error."""
        pending, self._pending = self._pending, None
        try:
            if pending is not None:
                pending.result()
        except _WRITE_ERRORS as error:
            raise self._output_error(error) from error

    def _close_part(self) -> None:
        try:
            self._container.close()
        except _WRITE_ERRORS as error:
            log.debug("Closing %s: %s", self._part, error)  # the fragments that were written play without it

    def _remux(self) -> None:
        """Copy the packets into a file with its index in front and move it into place."""
        finished = self.path.with_suffix(f".remux{self.path.suffix}")
        try:
            with av.open(str(self._part)) as source, av.open(str(finished), "w", "mp4", options=_FINISHED) as target:
                video = source.streams.video[0]
                target.metadata.update(self._metadata)
                stream = target.add_stream_from_template(video, opaque=True)
                delay = video.start_time or 0  # a fragmented file cannot start before 0, where B-frames are sent ahead
                for packet in source.demux(video):
                    if packet.dts is not None and packet.pts is not None:  # the last, empty one only marks the end
                        packet.pts, packet.dts = packet.pts - delay, packet.dts - delay
                        packet.stream = stream
                        target.mux(packet)
            os.replace(finished, self.path)
        except _WRITE_ERRORS as error:
            finished.unlink(missing_ok=True)
            raise self._output_error(error) from error

    def _output_error(self, error: Exception) -> OutputError:
        do = "Choose another folder with --output-dir, or make room and change its permissions."
        if self._part.is_file():
            do = f"The frames so far are in {self._part}. {do}"
        return OutputError(f"The video {self.path} cannot be written.", got=str(error), do=do)
