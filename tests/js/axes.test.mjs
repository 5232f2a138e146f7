// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  cvToGl,
  cvToGlMatrix,
  cvToGlPosition,
  cvToGlRotation,
  glToCv,
  glToCvMatrix,
  matrixOfPose,
  multiplied,
  slerp,
  transposed,
  turned,
} from "../../js/camera_editor/axes.mjs";
import { randomPosition, randomRotation, seeded } from "./random.mjs";

const HALF = Math.SQRT1_2;
const DOWN_CV = [0, 1, 0];
const FORWARD_CV = [0, 0, 1];
const RIGHT = [1, 0, 0];
const UP_GL = [0, 1, 0];
const FORWARD_GL = [0, 0, -1];

function assertClose(actual, expected, tolerance = 1e-12) {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) <= tolerance, `[${i}]: ${actual} != ${expected}`));
}

test("position forward, down and right becomes backward negative, up negative and right", () => {
  assert.deepEqual(cvToGlPosition([1, 2, 3]), [1, -2, -3]);
  assert.deepEqual(cvToGlPosition([0, 0, 5]), [0, 0, -5], "five units ahead is at z = -5 in three.js");
  assert.deepEqual(cvToGlPosition([0, -2, 0]), [0, 2, 0], "two units up");
});

test("camera at rest looks forward in both", () => {
  assert.deepEqual(cvToGlRotation([0, 0, 0, 1]), [0, 0, 0, 1]);
  assertClose(turned(FORWARD_GL, cvToGlRotation([0, 0, 0, 1])), cvToGlPosition(FORWARD_CV));
});

test("camera turned right looks right in both", () => {
  const turnedRight = [0, HALF, 0, HALF]; // 90 degrees about the axis that points down
  assertClose(turned(FORWARD_CV, turnedRight), RIGHT);
  assertClose(turned(FORWARD_GL, cvToGlRotation(turnedRight)), RIGHT);
});

test("camera tilted up looks up in both", () => {
  const tiltedUp = [HALF, 0, 0, HALF]; // 90 degrees about the axis that points right
  assertClose(turned(FORWARD_CV, tiltedUp), [0, -1, 0]);
  assertClose(turned(FORWARD_GL, cvToGlRotation(tiltedUp)), UP_GL);
});

test("camera rolled clockwise has its up side right in both", () => {
  const rolled = [0, 0, HALF, HALF]; // 90 degrees about the axis that points forward
  assertClose(turned([0, -1, 0], rolled), RIGHT);
  assertClose(turned(UP_GL, cvToGlRotation(rolled)), RIGHT);
});

test("matrix of a hand-made pose", () => {
  const turnedRightAt123 = [0, 0, 1, 1, 0, 1, 0, 2, -1, 0, 0, 3, 0, 0, 0, 1];
  assertClose(matrixOfPose({ position: [1, 2, 3], rotation: [0, HALF, 0, HALF] }), turnedRightAt123);
  const inGl = [0, 0, -1, 1, 0, 1, 0, -2, 1, 0, 0, -3, 0, 0, 0, 1];
  assert.deepEqual(cvToGlMatrix(turnedRightAt123), inGl);
  assert.deepEqual(transposed(inGl).slice(12), [1, -2, -3, 1], "three.js has the position in its last column");
});

test("quaternion and matrix conversions agree, keep lengths and undo themselves", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = seeded(seed);
    const pose = { position: randomPosition(random), rotation: randomRotation(random), zoom: 2 };
    const converted = cvToGl(pose);
    assertClose(matrixOfPose(converted), cvToGlMatrix(matrixOfPose(pose)));
    assert.deepEqual(glToCv(converted), pose, `seed ${seed}`);
    assert.deepEqual(glToCvMatrix(cvToGlMatrix(matrixOfPose(pose))), matrixOfPose(pose));
    for (const vector of [DOWN_CV, FORWARD_CV, RIGHT]) {
      const seen = turned(cvToGlPosition(vector), converted.rotation);
      assertClose(seen, cvToGlPosition(turned(vector, pose.rotation)));
    }
  }
});

test("turning by a product is turning twice", () => {
  const random = seeded(1);
  const [a, b, v] = [randomRotation(random), randomRotation(random), randomPosition(random)];
  assertClose(turned(v, multiplied(a, b)), turned(turned(v, b), a));
});

test("slerp goes the short way, at even speed, from the one to the other", () => {
  const quarter = [0, HALF, 0, HALF];
  assertClose(slerp([0, 0, 0, 1], quarter, 0.5), [0, Math.sin(Math.PI / 8), 0, Math.cos(Math.PI / 8)]);
  assertClose(slerp([0, 0, 0, 1], quarter.map((value) => -value), 0.5), slerp([0, 0, 0, 1], quarter, 0.5));
  assertClose(slerp(quarter, quarter, 0.3), quarter);
});

test("zeros stay without a sign", () => {
  const { position, rotation } = cvToGl({ position: [0, 0, 0], rotation: [0, 0, 0, 1] });
  assert.ok([...position, ...rotation].every((value) => !Object.is(value, -0)));
});
