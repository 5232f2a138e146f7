// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawTo, insertAt, neighbour, nudge, turn } from "../../js/camera_editor/edits.mjs";
import { boundsOf, frustaOf, frustumCorners, lookAlong, roundStep, sampledLines } from "../../js/camera_editor/geometry.mjs";
import { turned } from "../../js/camera_editor/axes.mjs";
import { meaningOf } from "../../js/camera_editor/keyboard.mjs";
import { PathModel } from "../../js/camera_editor/path_model.mjs";
import { describePath } from "../../js/camera_editor/widget.mjs";
import { statusOf } from "../../js/camera_editor/words.mjs";

test("corners of the image are where the lens puts them", () => {
  const [leftTop, , rightBottom] = frustumCorners([416, 240, 416, 240], 2, 3);
  assert.deepEqual(leftTop, [-1.5, -1.5, 3]);
  assert.deepEqual(rightBottom, [1.5, 1.5, 3]);
});

test("all frusta are one list of lines whose handles are in three.js axes", () => {
  const model = new PathModel();
  model.insert(0, { position: [1, 2, 3] });
  const one = frustaOf(model, 1);
  model.insert(1, { position: [4, 5, 6] });
  const two = frustaOf(model, 1);
  assert.equal(two.positions.length, 2 * one.positions.length);
  assert.deepEqual([...two.handles], [1, -2, -3, 4, -5, -6]);
});

test("sampled path has one line per step and one bar per chunk", () => {
  const sampled = {
    positions: Array.from({ length: 21 }, (_, frame) => [0, 0, frame]),
    rotations: Array.from({ length: 21 }, () => [0, 0, 0, 1]),
    chunks: [{ first_frame: 0, level: "green" }, { first_frame: 9, level: "red" }],
  };
  const { positions, colors } = sampledLines(sampled, 1);
  assert.equal(positions.length, (20 + 2) * 6);
  assert.ok(colors[0] < colors[1], "the first chunk is green");
  assert.ok(colors[15 * 6] > colors[15 * 6 + 1], "the second is red");
});

test("a level camera looks along the way", () => {
  const forward = turned([0, 0, 1], lookAlong([0, 0, 0], [1, 5, 1]));
  assert.ok(Math.abs(forward[0] - Math.SQRT1_2) < 1e-12 && Math.abs(forward[1]) < 1e-12);
  assert.equal(lookAlong([0, 0, 0], [0, 3, 0]), null);
});

test("bounds and steps", () => {
  assert.equal(boundsOf([]), null);
  assert.deepEqual(boundsOf([[0, 0, 0], [2, 4, 4]]), { centre: [1, -2, -2], radius: 3 });
  assert.deepEqual([0.9, 1, 3, 70].map(roundStep).map((value) => Number(value.toPrecision(3))), [0.5, 1, 2, 50]);
});

test("drawing goes on at walking speed to the end of a chunk and looks ahead", () => {
  const model = new PathModel();
  drawTo(model, [0, 0, 0]);
  drawTo(model, [0, 0, 1.2]);
  drawTo(model, [0.1, 0, 1.2]);
  assert.deepEqual(model.keyframes.map(({ timeSec }) => timeSec), [0, 1.25, 2]);
  assert.ok(turned([0, 0, 1], model.keyframes[2].rotation)[0] > 0.999);
  assert.deepEqual([...model.selection], [model.keyframes[2].id]);
});

test("a keyframe inserted on the sampled path takes its pose", () => {
  const model = new PathModel();
  model.insert(0, { position: [0, 0, 0] });
  model.insert(2, { position: [0, 0, 2] });
  const positions = Array.from({ length: 33 }, (_, frame) => [9, 0, frame]);
  insertAt(model, 1, { positions, rotations: positions.map(() => [0, 0, 0, 1]) });
  assert.deepEqual(model.keyframes[1].position, [9, 0, 16]);
});

test("keys move and turn what is selected, by whole steps when snapping", () => {
  const model = new PathModel();
  model.select([model.insert(0, { position: [0, 0, 0] })]);
  model.snap.enabled = true;
  nudge(model, [1, 0, 0]);
  assert.deepEqual(model.keyframes[0].position, [model.snap.grid, 0, 0]);
  turn(model, [1, 0]);
  const angle = (model.snap.angleDeg * Math.PI) / 180;
  assert.ok(Math.abs(turned([0, 0, 1], model.keyframes[0].rotation)[0] - Math.sin(angle)) < 1e-12);
  assert.equal(neighbour(model, 1).id, model.keyframes[0].id);
  assert.equal(neighbour(new PathModel(), 1), undefined);
});

test("keys have their meanings", () => {
  assert.equal(meaningOf({ key: "z", ctrlKey: true }), "undo");
  assert.equal(meaningOf({ key: "Z", ctrlKey: true, shiftKey: true }), "redo");
  assert.equal(meaningOf({ key: "w" }), null);
  assert.deepEqual(meaningOf({ key: "ArrowUp" }), { nudge: [0, 0, 1] });
  assert.deepEqual(meaningOf({ key: "ArrowUp", shiftKey: true }), { turn: [0, 1] });
});

test("a path in a few words", () => {
  assert.equal(describePath('{"name":"walk","keyframes":[{"time_sec":0},{"time_sec":2}]}'), "walk: 2 keyframes, 2.00 s");
  assert.match(describePath("{"), /not valid/);
});

test("the status says when the node follows a preset instead of what is drawn", () => {
  const model = new PathModel();
  assert.deepEqual(statusOf(model, null, "", "static"), ["", "info"]);
  model.insert(0, { position: [0, 0, 0] });
  assert.match(statusOf(model, null, "", "static")[0], /follows its preset static/);
  assert.deepEqual(statusOf(model, null, "", "keyframes"), ["1 keyframe, last at 0.00 s", "info"]);
  assert.deepEqual(statusOf(model, null, "no server", "keyframes"), ["no server", "error"]);
});
