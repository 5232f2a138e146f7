// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  TimeScale,
  cadenceSec,
  chunkAt,
  chunkEndSec,
  chunkSecAfter,
  chunkSecBefore,
  chunkStartSec,
  chunksToReach,
  nearestChunkSec,
  numFrames,
} from "../../js/camera_editor/time_scale.mjs";
import { between, seeded } from "./random.mjs";

test("first chunk has nine frames and every later one twelve", () => {
  assert.deepEqual([0, 1, 2, 3, 21].map(numFrames), [0, 9, 21, 33, 249]);
  assert.deepEqual([0, 1, 2].map(chunkStartSec), [0, 0.5625, 1.3125]);
  assert.equal(chunkEndSec(0), chunkStartSec(1));
});

test("a moment lies in the chunk that starts at or before it", () => {
  for (let index = 0; index < 1000; index++) {
    assert.equal(chunkAt(chunkStartSec(index)), index);
    assert.equal(chunkAt(chunkEndSec(index) - 1e-6), index);
  }
});

test("keyframe moments are the start and the last frame of every chunk", () => {
  assert.deepEqual([-1, 0, 1, 2, 3].map(cadenceSec), [0, 0, 0.5, 1.25, 2]);
  for (let index = 1; index <= 1000; index++) {
    assert.equal(chunkAt(cadenceSec(index)), index - 1);
    assert.equal(chunksToReach(cadenceSec(index)), index);
    assert.equal(chunkSecAfter(cadenceSec(index - 1)), cadenceSec(index));
    assert.equal(chunkSecBefore(cadenceSec(index)), cadenceSec(index - 1));
    assert.equal(nearestChunkSec(cadenceSec(index)), cadenceSec(index));
  }
});

test("nearest keyframe moment", () => {
  assert.deepEqual([-3, 0.24, 0.26, 1.3, 1.7].map(nearestChunkSec), [0, 0, 0.5, 1.25, 2]);
  assert.equal(chunkSecBefore(0), 0);
  assert.equal(chunkSecAfter(-1), 0);
  assert.equal(chunkSecAfter(0.2), 0.5);
});

test("chunks to reach a moment have a frame at or after it", () => {
  assert.deepEqual([0, 0.5, 0.51, 1.25, 1.26].map(chunksToReach), [1, 1, 2, 2, 3]);
  for (let seed = 0; seed < 200; seed++) {
    const timeSec = between(seeded(seed), 0, 500);
    const count = chunksToReach(timeSec);
    assert.ok((numFrames(count) - 1) / 16 >= timeSec - 1e-9);
    assert.ok(count === 1 || (numFrames(count - 1) - 1) / 16 < timeSec);
  }
});

test("pixels and seconds undo each other, and zooming keeps the moment under the mouse", () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = seeded(seed);
    const scale = new TimeScale({ startSec: between(random, 0, 50), pixelsPerSec: between(random, 1, 200), left: 30 });
    const x = between(random, 30, 800);
    assert.ok(Math.abs(scale.x(scale.timeSec(x)) - x) < 1e-6);
    const before = scale.timeSec(x);
    scale.zoom(between(random, 1, 3), x);
    assert.ok(Math.abs(scale.timeSec(x) - before) < 1e-6, `seed ${seed}`);
    scale.zoom(1e-9, x);
    assert.ok(scale.startSec >= 0);
  }
});

test("labels and lines keep their distance at every zoom", () => {
  const scale = new TimeScale();
  for (scale.pixelsPerSec = TimeScale.MIN; scale.pixelsPerSec < TimeScale.MAX; scale.pixelsPerSec *= 1.7) {
    const pixels = scale.tickSec(48) * scale.pixelsPerSec;
    assert.ok(pixels >= 48 && (pixels < 48 * 2.6 || scale.tickSec(48) <= 0.1), `${pixels}`);
    assert.ok(scale.chunkStride(6) * 0.75 * scale.pixelsPerSec >= 6);
  }
});
