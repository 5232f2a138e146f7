// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { EASINGS, MAX_KEYFRAMES, PathError, PathModel } from "../../js/camera_editor/path_model.mjs";
import { between, oneOf, randomPosition, randomRotation, seeded } from "./random.mjs";

const TWO = `{"format": "lingbot-camera-path", "version": 1, "keyframes": [
  {"time_sec": 0, "position": [0, 0, 0]},
  {"time_sec": 3, "position": [0, 0, 2], "rotation": [0, 0.6, 0, 0.8], "zoom": 1.5}]}`;

function pathText(changes = {}, keyframeChanges = {}) {
  const keyframe = { time_sec: 0, position: [0, 0, 0], ...keyframeChanges };
  return JSON.stringify({ format: "lingbot-camera-path", version: 1, keyframes: [keyframe], ...changes });
}

function times(model) {
  return model.keyframes.map(({ timeSec }) => timeSec);
}

test("empty text is an empty path, written as empty text", () => {
  for (const text of ["", "  \n"]) {
    const model = new PathModel(text);
    assert.equal(model.json, "");
    assert.equal(model.invalid, null);
    assert.equal(model.canUndo, false);
  }
});

test("a path is read with its defaults and written in one form", () => {
  const model = new PathModel(TWO);
  assert.deepEqual(model.keyframes[0].rotation, [0, 0, 0, 1]);
  assert.equal(model.keyframes[0].zoom, 1);
  assert.equal(model.worldScale, 1.271182656288147);
  assert.deepEqual(JSON.parse(model.json).keyframes[1], {
    time_sec: 3,
    position: [0, 0, 2],
    rotation: [0, 0.6, 0, 0.8],
    zoom: 1.5,
  });
  assert.equal(new PathModel(model.json).json, model.json);
});

test("settings survive when all keyframes are removed", () => {
  const model = new PathModel(pathText({ easing: "ease-in", intrinsics: [500, 500, 416, 240], name: "tour" }));
  model.remove(model.keyframes.map(({ id }) => id));
  const again = new PathModel(model.json);
  assert.deepEqual(again.settings, model.settings);
  assert.equal(again.keyframes.length, 0);
});

test("bad text is refused with its place", () => {
  const cases = [
    ["{", /not valid JSON/, ""],
    ["{'format': 'lingbot-camera-path'}", /Send the path as a JSON string/, ""],
    ["[1]", /must be a JSON object/, ""],
    ["null", /must be a JSON object/, ""],
    ["NaN", /not valid JSON/, ""],
    [pathText({ format: "x" }), /must be/, "format"],
    [pathText({ version: 2 }), /newer version/, "version"],
    [pathText({ version: "1" }), /must be 1/, "version"],
    [pathText({ extra: 1 }), /not a field/, "extra"],
    [pathText({ name: 3 }), /must be text/, "name"],
    [pathText({ name: "x".repeat(201) }), /at most 200/, "name"],
    [pathText({ easing: "bounce" }), /one of linear/, "easing"],
    [pathText({ world_scale: 0 }), /outside/, "world_scale"],
    [pathText({ world_scale: 1e7 }), /outside/, "world_scale"],
    [pathText({ intrinsics: [1, 1, 1] }), /list of 4/, "intrinsics"],
    [pathText({ intrinsics: [0, 1, 1, 1] }), /above 0/, "intrinsics[0]"],
    [pathText({ keyframes: {} }), /list/, "keyframes"],
    [pathText({ keyframes: [3] }), /object/, "keyframes[0]"],
    [pathText({}, { time_sec: -1 }), /outside/, "keyframes[0].time_sec"],
    [pathText({}, { time_sec: "0" }), /must be a number/, "keyframes[0].time_sec"],
    [pathText({}, { time_sec: undefined }), /missing/, "keyframes[0].time_sec"],
    [pathText({}, { position: [0, 0] }), /list of 3/, "keyframes[0].position"],
    [pathText({}, { position: [0, null, 0] }), /must be a number, not null/, "keyframes[0].position[1]"],
    [pathText({}, { position: undefined }), /missing/, "keyframes[0].position"],
    [pathText({}, { position: [0, 0, 1e10] }), /outside/, "keyframes[0].position[2]"],
    [pathText().replace("[0,0,0]", "[0,0,1e999]"), /must be a number/, "keyframes[0].position[2]"],
    [pathText({}, { rotation: [0, 0, 0, 0] }), /unit quaternion/, "keyframes[0].rotation"],
    [pathText({}, { zoom: 0 }), /outside/, "keyframes[0].zoom"],
    [pathText({}, { tilt: 1 }), /not a field/, "keyframes[0].tilt"],
    [pathText({ keyframes: [0, 0].map((time_sec) => ({ time_sec, position: [0, 0, 0] })) }), /after/, "keyframes[1].time_sec"],
  ];
  for (const [text, message, place] of cases) {
    const model = new PathModel(TWO);
    const before = model.json;
    assert.throws(
      () => model.load(text),
      (error) => error instanceof PathError && message.test(error.message) && error.place === place,
      text,
    );
    assert.equal(model.json, before);
    assert.equal(model.canUndo, false);
  }
});

test("invalid widget text is kept, refuses edits, and loses nothing", () => {
  const model = new PathModel(TWO);
  const before = model.json;
  model.setText('{"keyframes": [');
  assert.equal(model.text, '{"keyframes": [');
  assert.match(model.invalid.message, /not valid JSON/);
  assert.equal(model.keyframes.length, 2);
  assert.throws(() => model.insert(5), /Correct or discard/);
  assert.throws(() => model.setEasing("ease-in"), PathError);
  model.discardInvalid();
  assert.equal(model.text, before);
  model.undo();
  assert.equal(model.text, '{"keyframes": [');
  model.undo();
  assert.equal(model.text, before);
  model.redo();
  model.setText(pathText());
  assert.equal(model.invalid, null);
  assert.equal(model.keyframes.length, 1);
});

test("a path loaded over another forgets the other's steps and never shows its keyframes", () => {
  const model = new PathModel(TWO);
  model.insert(1);
  model.setText("{", { reset: true });
  assert.equal(model.canUndo, false);
  assert.equal(model.keyframes.length, 0);
  assert.equal(model.text, "{");
});

test("a coincident time is refused with a message and nothing changes", () => {
  const model = new PathModel(TWO);
  const [first, second] = model.keyframes;
  const before = model.json;
  const refused = [];
  model.addEventListener("refused", ({ detail }) => refused.push(detail.message));
  for (const timeSec of [3, 3.00009, 2.99991, 0]) assert.throws(() => model.insert(timeSec), /already/);
  assert.throws(() => model.retime(first.id, 3), /already/);
  assert.throws(() => model.retimeMany([{ id: first.id, timeSec: 7 }, { id: second.id, timeSec: 7 }]), /already/);
  assert.equal(model.attempt(() => model.insert(3)), undefined);
  assert.deepEqual(refused, ["There is a keyframe at 3 s already. Choose another time."]);
  assert.equal(model.json, before);
  assert.equal(model.canUndo, false);
});

test("impossible numbers are refused in every edit", () => {
  const model = new PathModel(TWO);
  const [{ id }] = model.keyframes;
  const before = model.json;
  for (const bad of [NaN, Infinity, -1, 3600, "1", null, undefined]) assert.throws(() => model.insert(bad), PathError);
  for (const position of [[0, 0], [NaN, 0, 0], [1e10, 0, 0], "abc"]) assert.throws(() => model.move(id, { position }), PathError);
  for (const rotation of [[0, 0, 0, 0], [NaN, 0, 0, 1], [Infinity, 0, 0, 1], [1, 0, 0]]) {
    assert.throws(() => model.move(id, { rotation }), PathError);
  }
  for (const zoom of [0, NaN, 101]) assert.throws(() => model.move(id, { zoom }), PathError);
  assert.throws(() => model.move(999, { zoom: 2 }), /no longer there/);
  assert.throws(() => model.setWorldScale(0), PathError);
  assert.throws(() => model.setEasing("bounce"), PathError);
  assert.equal(model.json, before);
});

test("an edited rotation becomes a unit quaternion, and stays as it is the second time", () => {
  const model = new PathModel(TWO);
  const [{ id }] = model.keyframes;
  model.move(id, { rotation: [0, 3, 0, 4] });
  const { rotation } = model.get(id);
  assert.deepEqual(rotation, [0, 0.6, 0, 0.8]);
  model.move(id, { rotation });
  model.undo();
  assert.equal(model.canUndo, false, "the second edit changed nothing and was no step");
});

test("a keyframe that moves in time may pass others", () => {
  const model = new PathModel(TWO);
  const [{ id }] = model.keyframes;
  model.retime(id, 5);
  assert.deepEqual(times(model), [3, 5]);
  assert.equal(model.indexOf(id), 1);
});

test("a new keyframe without a pose is put between its neighbours, alone at the origin", () => {
  const model = new PathModel(TWO);
  assert.deepEqual(model.get(model.insert(1.5)).position, [0, 0, 1]);
  assert.deepEqual(model.get(model.insert(9)).position, [0, 0, 2]);
  const empty = new PathModel();
  assert.deepEqual(empty.get(empty.insert(0)).rotation, [0, 0, 0, 1]);
});

test("duplicates take free times and are selected", () => {
  const model = new PathModel(TWO);
  const [first, second] = model.keyframes;
  assert.equal(model.get(model.duplicate([first.id])[0]).timeSec, 0.75);
  assert.equal(model.get(model.duplicate([first.id])[0]).timeSec, 0.375);
  assert.equal(model.get(model.duplicate([second.id])[0]).timeSec, 3.75);
  const ids = model.duplicate([first.id, second.id]);
  assert.deepEqual(ids.map((id) => model.get(id).timeSec), [4.5, 7.5]);
  assert.deepEqual(model.selection, new Set(ids));
  model.undo();
  assert.deepEqual(times(model), [0, 0.375, 0.75, 3, 3.75]);
  assert.equal(model.selection.size, 0);
  const late = new PathModel(pathText({}, { time_sec: 3599 }));
  assert.throws(() => late.duplicate([late.keyframes[0].id]), PathError);
});

test("a drag is one undo step, and a cancelled one none", () => {
  const model = new PathModel(TWO);
  const [{ id }] = model.keyframes;
  const before = model.json;
  const dragging = [];
  model.addEventListener("change", ({ detail }) => dragging.push(detail.dragging));
  model.begin("move");
  for (let x = 1; x <= 50; x++) model.move(id, { position: [x, 0, 0] });
  model.commit();
  assert.deepEqual(dragging, [...Array(50).fill(true), false]);
  const after = model.json;
  model.undo();
  assert.equal(model.json, before);
  assert.equal(model.canUndo, false);
  model.redo();
  assert.equal(model.json, after);

  model.begin("move");
  model.move(id, { position: [9, 9, 9] });
  model.cancel();
  assert.equal(model.json, after);
  model.begin("move");
  model.move(id, { position: [9, 9, 9] });
  model.undo();
  model.commit();
  assert.equal(model.json, after, "undo during a drag takes the drag back and its end is then nothing");
  model.begin("back and forth");
  model.move(id, { position: [9, 9, 9] });
  model.move(id, { position: [50, 0, 0] });
  model.commit();
  model.undo();
  assert.equal(model.json, before, "a drag that ends where it began is no step");
});

test("a transaction that throws leaves nothing behind", () => {
  const model = new PathModel(TWO);
  const before = model.json;
  const broken = () =>
    model.transaction("several", () => {
      model.insert(1);
      model.setEasing("ease-out");
      model.insert(1);
    });
  assert.throws(broken, /already/);
  assert.equal(model.json, before);
  assert.equal(model.canUndo, false);
  assert.equal(model.isDragging, false);
});

test("the node's own easing and scale are laid over the path", () => {
  const model = new PathModel(pathText({ easing: "ease-in", world_scale: 2 }));
  assert.equal(model.jsonWith({ easing: "linear", worldScale: 0 }), model.json);
  const { easing, world_scale } = JSON.parse(model.jsonWith({ easing: "ease-out", worldScale: 3 }));
  assert.deepEqual({ easing, world_scale }, { easing: "ease-out", world_scale: 3 });
});

test("snapping rounds to the ends of chunks, steps and the grid, and only when it is on", () => {
  const model = new PathModel();
  assert.equal(model.snapTime(0.6), 0.6);
  assert.equal(model.snapTime(-1), 0);
  assert.equal(model.snapTime(1e5), 3599);
  assert.deepEqual(model.snapPosition([0.3, 0.2, 0]), [0.3, 0.2, 0]);
  model.snap.enabled = true;
  assert.equal(model.snapTime(0.6), 0.5);
  assert.equal(model.snapTime(0.9), 1.25);
  assert.deepEqual(model.snapPosition([0.3, 0.2, 0]), [0.5, 0, 0]);
  model.snap.timeSec = 0.25;
  assert.equal(model.snapTime(0.6), 0.5);
});

/** One random edit; it may be refused. Returns whether something could have changed. */
function randomEdit(model, random) {
  const ids = model.keyframes.map(({ id }) => id);
  const some = ids.filter(() => random() < 0.4);
  const size = oneOf(random, [1e-6, 1, 1e6]);
  const timeSec = oneOf(random, [between(random, 0, 20), Math.floor(between(random, 0, 8)), NaN, -1]);
  const pose = { position: randomPosition(random, size), rotation: randomRotation(random), zoom: between(random, 0.5, 2) };
  const edits = [
    () => model.insert(timeSec, random() < 0.5 ? pose : {}),
    () => model.remove(some),
    () => model.duplicate(some),
    () => model.moveMany(some.map((id) => ({ id, ...pose }))),
    () => model.retimeMany(some.map((id) => ({ id, timeSec: between(random, 0, 20) }))),
    () => ids.length && model.retime(oneOf(random, ids), timeSec),
    () => model.setEasing(oneOf(random, EASINGS)),
    () => model.setWorldScale(oneOf(random, [null, 1e-6, 1e6, 1.5, 0])),
    () => model.setName(oneOf(random, ["", "a \"quoted\" \\ name", "Küste\n"])),
    () => model.setText(oneOf(random, ["{", TWO, "", '{"format": 1}'])),
    () => model.discardInvalid(),
    () => model.load(oneOf(random, [TWO, "{"])),
    () =>
      model.transaction("several", () => {
        for (let count = random() * 4; count > 0; count--) randomEdit(model, random);
      }),
  ];
  try {
    oneOf(random, edits)();
  } catch (error) {
    assert.ok(error instanceof PathError, error);
  }
}

function checkSound(model, seed) {
  let earliestSec = 0;
  for (const keyframe of model.keyframes) {
    assert.ok(keyframe.timeSec >= earliestSec, `seed ${seed}: times ${times(model)}`);
    earliestSec = keyframe.timeSec + 1e-4;
    assert.ok(Object.isFrozen(keyframe) && Object.isFrozen(keyframe.position));
    assert.equal(model.get(keyframe.id), keyframe);
  }
  assert.equal(new PathModel(model.json).json, model.json, `seed ${seed}: round trip`);
  for (const id of model.selection) assert.ok(model.get(id));
}

test("random edits: undo brings back every JSON exactly, and so does redo", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = seeded(seed);
    const model = new PathModel(oneOf(random, ["", TWO, "{"]));
    const shown = () => `${model.text}\n---\n${model.json}`; // behind invalid text the last valid path counts too
    const states = [shown()];
    for (let step = 0; step < 25; step++) {
      randomEdit(model, random);
      model.select(model.keyframes.filter(() => random() < 0.3).map(({ id }) => id));
      checkSound(model, seed);
      if (shown() !== states.at(-1)) states.push(shown());
    }
    const end = states.length - 1;
    for (let index = end - 1; index >= 0; index--) {
      assert.ok(model.undo(), `seed ${seed}: undo to state ${index}`);
      assert.equal(shown(), states[index], `seed ${seed}: undo to state ${index}`);
      checkSound(model, seed);
    }
    assert.equal(model.undo(), false, `seed ${seed}: no more steps than changes`);
    for (let index = 1; index <= end; index++) {
      assert.ok(model.redo());
      assert.equal(shown(), states[index], `seed ${seed}: redo to state ${index}`);
    }
    assert.equal(model.redo(), false);
  }
});

test("an edit after undo drops what could have been redone", () => {
  const model = new PathModel(TWO);
  model.insert(1);
  model.undo();
  model.insert(2);
  assert.equal(model.canRedo, false);
});

test("random text never throws from setText, and is kept", () => {
  for (let seed = 0; seed < 500; seed++) {
    const random = seeded(seed);
    const cut = Math.floor(random() * TWO.length);
    const text = TWO.slice(0, cut) + oneOf(random, ["", "9", '"', "[", "}", "null", "e5", "-"]) + TWO.slice(cut + Math.floor(random() * 3));
    const model = new PathModel(TWO);
    const before = model.json;
    model.setText(text);
    if (model.invalid) {
      assert.equal(model.text, text);
      assert.equal(model.json, before);
    } else {
      assert.equal(new PathModel(model.text).json, model.json);
    }
  }
});

test("numbers of 64 bits survive", () => {
  const random = seeded(7);
  for (let count = 0; count < 500; count++) {
    const position = [0, 1, 2].map(() => (random() - 0.5) * 10 ** between(random, -12, 8));
    const model = new PathModel(pathText({ world_scale: 10 ** between(random, -6, 6) }, { position }));
    assert.deepEqual(new PathModel(model.json).keyframes[0].position, position);
    assert.equal(new PathModel(model.json).worldScale, model.worldScale);
  }
});

test("ten thousand keyframes stay fast", () => {
  const items = Array.from({ length: MAX_KEYFRAMES }, (_, index) => ({ timeSec: index / 4, position: [index, 0, 0] }));
  const model = new PathModel();
  const started = performance.now();
  const ids = model.insertMany(items);
  for (let count = 0; count < 100; count++) model.move(ids[count * 50], { position: [0, count, 0] });
  for (let count = 0; count < 100; count++) model.retime(ids[count * 50], count * 12.5 + 0.1);
  model.moveMany(ids.map((id) => ({ id, zoom: 2 })));
  model.remove(ids.slice(0, 5000));
  model.duplicate(ids.slice(5000, 6000));
  while (model.undo());
  while (model.redo());
  assert.equal(new PathModel(model.json).json, model.json);
  const elapsed = performance.now() - started;
  assert.ok(elapsed < 5000, `${elapsed.toFixed(0)} ms`);
  const full = new PathModel();
  full.insertMany(items);
  assert.throws(() => full.insert(3000), /at most 10000/);
});
