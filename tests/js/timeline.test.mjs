// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { looksForeign } from "../../js/camera_editor/panels.mjs";
import { CARD_HEIGHT, CARD_WIDTH, cameraLines, fitToCard, obliquely, poseAtShare } from "../../js/camera_editor/preset_cards.mjs";
import { drawTimeline, keyframeAtPoint, sampledPose, speedShare, statusWords } from "../../js/camera_editor/timeline_draw.mjs";
import { TimeScale } from "../../js/camera_editor/time_scale.mjs";

const HEIGHT = 100;
const LANE_Y = HEIGHT - 5;

function keyframesAt(...times) {
  return times.map((timeSec, id) => ({ id, timeSec, position: [id, 0, 0], rotation: [0, 0, 0, 1], zoom: 1 }));
}

/** A drawing context that only counts. */
function countingContext() {
  const counts = {};
  const texts = [];
  const ctx = new Proxy(
    { fillText: (text) => texts.push(text) },
    {
      get: (target, name) => target[name] ?? (() => (counts[name] = (counts[name] ?? 0) + 1)),
      set: () => true,
    },
  );
  return { ctx, counts, texts };
}

function scene(changes = {}) {
  return {
    width: 600,
    height: HEIGHT,
    scale: new TimeScale({ left: 10, pixelsPerSec: 40 }),
    colours: {},
    keyframes: keyframesAt(0, 2, 4),
    selection: new Set(),
    timeSec: 1,
    chunks: [],
    seen: null,
    knownChunks: 0,
    numChunks: 8,
    textEvents: [],
    ...changes,
  };
}

test("pointer finds the nearest diamond in its row and none elsewhere", () => {
  const scale = new TimeScale({ left: 10, pixelsPerSec: 40 });
  const keyframes = keyframesAt(0, 1, 1.1, 4);
  assert.equal(keyframeAtPoint(keyframes, scale, 51, LANE_Y, HEIGHT).timeSec, 1);
  assert.equal(keyframeAtPoint(keyframes, scale, 53, LANE_Y, HEIGHT).timeSec, 1.1);
  assert.equal(keyframeAtPoint(keyframes, scale, 100, LANE_Y, HEIGHT), undefined);
  assert.equal(keyframeAtPoint(keyframes, scale, 51, 10, HEIGHT), undefined);
});

test("speed is the worse of step and turn as a share of the fastest seen", () => {
  const seen = { step: { median: 0.8, maximum: 1 }, rotation_deg: { median: 2, maximum: 20 } };
  assert.equal(speedShare({ step: 0.5, rotation_deg: 2 }, seen), 0.5);
  assert.equal(speedShare({ step: 0.5, rotation_deg: 30 }, seen), 1.5);
  assert.equal(speedShare({ step: 0.5, rotation_deg: 30 }, undefined), 0.5);
});

test("sampled pose is that of the frame, between frames between them, and at rest outside", () => {
  const sampled = {
    num_frames: 3,
    positions: [[0, 0, 0], [0, 0, 1], [0, 0, 3]],
    rotations: [[0, 0, 0, 1], [0, 0, 0, 1], [0, Math.SQRT1_2, 0, Math.SQRT1_2]],
  };
  assert.deepEqual(sampledPose(sampled, 1 / 16), { position: [0, 0, 1], rotation: [0, 0, 0, 1] });
  assert.deepEqual(sampledPose(sampled, 1.5 / 16).position, [0, 0, 2]);
  assert.deepEqual(sampledPose(sampled, 9).position, [0, 0, 3]);
  assert.deepEqual(sampledPose({ num_frames: 1, positions: [[1, 2, 3]], rotations: [[0, 0, 0, 1]] }, 5).position, [1, 2, 3]);
  assert.equal(sampledPose(null, 0), null);
});

test("words tell which changes take computed chunks back", () => {
  assert.equal(statusWords(0, 0), "");
  assert.equal(statusWords(0, 21), "21 chunks, none computed");
  assert.match(statusWords(4, 21), /4 of 21 chunks computed; changes after 2\.81 s cost none of them/);
  assert.match(statusWords(30, 21), /21 of 21 chunks computed; a change is computed again/);
});

test("timeline draws with everything, with nothing, and with ten thousand keyframes", () => {
  const chunks = Array.from({ length: 8 }, (_, index) => ({ index, step: index / 4, rotation_deg: 1, level: "green" }));
  const full = countingContext();
  drawTimeline(full.ctx, scene({ chunks, knownChunks: 3, textEvents: [{ chunk: 2, label: "x".repeat(40) }] }));
  assert.ok(full.texts.includes("4 s") && full.texts.includes("7") && full.texts.some((text) => text.endsWith("…")));

  drawTimeline(countingContext().ctx, scene({ keyframes: [], numChunks: 0 }));

  const many = countingContext();
  const started = performance.now();
  const keyframes = keyframesAt(...Array.from({ length: 10_000 }, (_, index) => index / 3));
  drawTimeline(many.ctx, scene({ keyframes, scale: new TimeScale({ left: 10, pixelsPerSec: 0.17 }), numChunks: 1000 }));
  assert.ok(performance.now() - started < 200);
  assert.ok(many.counts.fill < 1300, "diamonds on the same pixel are drawn once");
});

test("the picture of a preset stays in its card", () => {
  const turn = [0, Math.sin(0.3), 0, Math.cos(0.3)];
  const keyframes = [
    { timeSec: 0, position: [0, 0, 0], rotation: [0, 0, 0, 1] },
    { timeSec: 2, position: [0, -5, 20], rotation: turn },
  ];
  const points = keyframes.flatMap((pose) => cameraLines(pose, 4)).map(obliquely);
  for (const [x, y] of points.map(fitToCard(points))) {
    assert.ok(x >= 0 && x <= CARD_WIDTH && y >= 0 && y <= CARD_HEIGHT);
  }
  assert.deepEqual(poseAtShare(keyframes, 0.5).position, [0, -2.5, 10]);
  assert.deepEqual(poseAtShare(keyframes, 1).position, [0, -5, 20]);
  assert.deepEqual(poseAtShare(keyframes.slice(0, 1), 0.5).position, [0, 0, 0]);
  assert.ok(fitToCard([[1, 1]])([1, 1]).every(Number.isFinite));
});

test("pasted text of other programs is told from camera paths and from mistakes in them", () => {
  for (const text of ['{"frames": []}', "[1, 2]", "# Image list\n1 1 0 0 0\n", "1 1 0 0 0 0 0 0 1 a.png\n\n"]) {
    assert.equal(looksForeign(text), true, text);
  }
  for (const text of ["", "{", "{'format': 1}", '{"format": "lingbot-camera-path"}', '{"keyframes": []}', "hello", "[1,"]) {
    assert.equal(looksForeign(text), false, text);
  }
});
