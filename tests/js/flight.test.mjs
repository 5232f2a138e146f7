// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { Flight, readKey, readSticks } from "../../js/camera_editor/flight.mjs";
import { turned } from "../../js/camera_editor/axes.mjs";

const ORIGIN = { position: [0, 0, 0], rotation: [0, 0, 0, 1], zoom: 1 };

/** Hold keys for some seconds, with a picture every 1/60 s. */
function held(keys, seconds, start = ORIGIN) {
  const flight = new Flight(start);
  for (const key of keys) flight.press(key, 1000);
  for (let frame = 1; frame < seconds * 60; frame += 1) flight.advance(1000 + (frame * 1000) / 60);
  flight.releaseAll(1000 + seconds * 1000);
  return flight;
}

function assertNear(actual, expected, tolerance = 1e-9) {
  actual.forEach((value, index) => assert.ok(Math.abs(value - expected[index]) < tolerance, `${actual} is not ${expected}`));
}

test("forward for two seconds goes 1.6 units along z", () => {
  assertNear(held(["w"], 2).pose.position, [0, 0, 1.6]);
});

test("turning right for one second turns 32 degrees", () => {
  const angle = (32 * Math.PI) / 180;
  assertNear(turned([0, 0, 1], held(["d"], 1).pose.rotation), [Math.sin(angle), 0, Math.cos(angle)]);
});

test("looking up stops at 85 degrees and never changes the height", () => {
  const { position, rotation } = held(["i", "w"], 5).pose;
  const forward = turned([0, 0, 1], rotation);
  assert.ok(Math.asin(-forward[1]) <= (85 * Math.PI) / 180 + 1e-9);
  assert.equal(position[1], 0);
});

test("of keys that exclude each other the one pressed last counts", () => {
  const flight = new Flight(ORIGIN);
  flight.press("w", 0);
  flight.press("s", 0);
  flight.advance(100);
  assert.ok(flight.pose.position[2] < 0);
  flight.release("s", 100);
  flight.advance(300);
  assert.ok(flight.pose.position[2] > 0);
});

test("edges begin at zero with the first key, and repeats of a held key are left out", () => {
  const flight = new Flight(ORIGIN);
  flight.advance(0);
  flight.advance(200);
  assert.equal(flight.hasStarted, false);
  flight.press("ArrowUp", 500);
  flight.press("ArrowUp", 530);
  flight.release("w", 600);
  assert.deepEqual(
    flight.edges.map(({ key, is_down: isDown }) => [key, isDown]),
    [["w", true], ["w", false]],
  );
  assertNear(flight.edges.map(({ time_sec: timeSec }) => timeSec), [0, 0.1]);
});

test("keyframes of a flight with the mouse are at the last frames of chunks", () => {
  const flight = held(["w"], 2);
  flight.look(10, 0, 3000);
  assert.equal(flight.isFree, true);
  const times = flight.keyframes(0).map(({ timeSec }) => timeSec);
  assert.deepEqual(times.slice(0, 3), [0, 0.5, 1.25]);
  assert.ok(times.every((time, index) => !index || time > times[index - 1]));
  assertNear(flight.keyframes(1.25).map(({ timeSec }) => timeSec).slice(0, 3), [1.25, 2, 2.75]);
});

test("a flight with the mouse from a keyframe of the path goes on from its time", () => {
  const flight = new Flight({ id: 7, timeSec: 1.25, position: [1, 0, 2], rotation: [0, 0, 0, 1], zoom: 2 });
  flight.look(10, 0, 0);
  for (let nowMs = 16; nowMs <= 1000; nowMs += 16) flight.advance(nowMs);
  const keyframes = flight.keyframes(1.25);
  assertNear(keyframes.map(({ timeSec }) => timeSec), [1.25, 2, 2.75]);
  assert.ok(keyframes.every(({ zoom, id }) => zoom === 2 && id === undefined));
});

test("a picture after a long gap does not make the camera leap", () => {
  const flight = new Flight(ORIGIN);
  flight.press("w", 0);
  flight.advance(60_000);
  assert.ok(flight.pose.position[2] <= 0.8 * 0.25 + 1e-9);
});

test("keys and sticks without a meaning are nothing", () => {
  assert.equal(readKey("x"), "");
  assert.equal(readKey("Shift"), "");
  assert.equal(readKey("ArrowLeft"), "a");
  assert.deepEqual(readSticks([0.05, -1, 0, 0.5]), { forward: 1, right: 0, turn: 0, up: -0.5 });
});
