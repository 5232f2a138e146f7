// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Seconds, frames, chunks and pixels of the timeline. Mirrors lingbot_core/timeline.py: chunk 0 has
 * nine frames, every later chunk twelve, sixteen frames a second.
 */

export const FRAMES_PER_SECOND = 16;
const FIRST_CHUNK_FRAMES = 9;
const CHUNK_FRAMES = 12;

/** Moments closer than this are the same. */
const SLACK_SEC = 1e-9;

/** Seconds of every chunk but the first. */
export const CHUNK_SEC = CHUNK_FRAMES / FRAMES_PER_SECOND;

/** Frames in the first `numChunks` chunks: 0, 9, 21, 33, ... */
export function numFrames(numChunks) {
  return numChunks <= 0 ? 0 : FIRST_CHUNK_FRAMES + CHUNK_FRAMES * (numChunks - 1);
}

/** When chunk `index` begins: 0, 0.5625, 1.3125, ... */
export function chunkStartSec(index) {
  return numFrames(index) / FRAMES_PER_SECOND;
}

/** When chunk `index` ends and the next begins. */
export function chunkEndSec(index) {
  return chunkStartSec(index + 1);
}

/** The chunk in which a moment lies. */
export function chunkAt(timeSec) {
  const frame = timeSec * FRAMES_PER_SECOND;
  return frame < FIRST_CHUNK_FRAMES ? 0 : 1 + Math.floor((frame - FIRST_CHUNK_FRAMES) / CHUNK_FRAMES);
}

/**
 * The moments at which keyframes do most good: 0, then the last frame of every chunk, 0.5, 1.25, 2, ...
 * One frame later lies in the next chunk, and a path that ends there is a chunk longer.
 */
export function cadenceSec(index) {
  return index <= 0 ? 0 : (numFrames(index) - 1) / FRAMES_PER_SECOND;
}

/** The one of these moments that is nearest. */
export function nearestChunkSec(timeSec) {
  const later = cadenceIndexAfter(timeSec);
  const [before, after] = [cadenceSec(later - 1), cadenceSec(later)];
  return timeSec - before <= after - timeSec ? before : after;
}

/** The next of these moments. */
export function chunkSecAfter(timeSec) {
  return cadenceSec(cadenceIndexAfter(timeSec));
}

/** The one of these moments before; 0 at the start. */
export function chunkSecBefore(timeSec) {
  return cadenceSec(cadenceIndexAfter(timeSec - SLACK_SEC * 2) - 1);
}

function cadenceIndexAfter(timeSec) {
  if (timeSec < -SLACK_SEC) return 0;
  const first = cadenceSec(1);
  return timeSec < first - SLACK_SEC ? 1 : 2 + Math.floor((timeSec + SLACK_SEC - first) / CHUNK_SEC);
}

/** Chunks that a path of this length needs: as many as it takes to reach its last keyframe. */
export function chunksToReach(timeSec) {
  const frame = Math.ceil((timeSec - SLACK_SEC) * FRAMES_PER_SECOND);
  return frame < FIRST_CHUNK_FRAMES ? 1 : 2 + Math.floor((frame - FIRST_CHUNK_FRAMES) / CHUNK_FRAMES);
}

/** Which seconds a strip of pixels shows. */
export class TimeScale {
  /** Zoom limits, in pixels per second. */
  static MIN = 0.05;
  static MAX = 2000;

  constructor({ startSec = 0, pixelsPerSec = 40, left = 0 } = {}) {
    this.startSec = startSec;
    this.pixelsPerSec = pixelsPerSec;
    /** Where `startSec` is, in pixels. */
    this.left = left;
  }

  x(timeSec) {
    return this.left + (timeSec - this.startSec) * this.pixelsPerSec;
  }

  timeSec(x) {
    return this.startSec + (x - this.left) / this.pixelsPerSec;
  }

  /** Show 0 to `endSec` in `width` pixels. */
  fit(endSec, width) {
    this.startSec = 0;
    this.pixelsPerSec = clamp(width / Math.max(endSec, 1 / FRAMES_PER_SECOND), TimeScale.MIN, TimeScale.MAX);
  }

  /** Zoom around the moment under `x`, which stays there unless that would show seconds before 0. */
  zoom(factor, x) {
    const fixed = this.timeSec(x);
    this.pixelsPerSec = clamp(this.pixelsPerSec * factor, TimeScale.MIN, TimeScale.MAX);
    this.startSec = Math.max(0, fixed - (x - this.left) / this.pixelsPerSec);
  }

  /** Shift what is shown by so many pixels. */
  pan(pixels) {
    this.startSec = Math.max(0, this.startSec + pixels / this.pixelsPerSec);
  }

  /** Distance of labels in seconds: 1, 2, 5, 10, ... so that they are at least `minPixels` apart. */
  tickSec(minPixels = 48) {
    for (let power = 0.1; ; power *= 10) {
      for (const digit of [1, 2, 5]) {
        if (digit * power * this.pixelsPerSec >= minPixels) return digit * power;
      }
    }
  }

  /** Every how many chunks a line is drawn: 1, 2, 4, ... so that lines are at least `minPixels` apart. */
  chunkStride(minPixels = 6) {
    let stride = 1;
    while (stride * CHUNK_SEC * this.pixelsPerSec < minPixels) stride *= 2;
    return stride;
  }
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
