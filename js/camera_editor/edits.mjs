// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Edits of a path that mouse and keyboard make, as functions of the model. All throw PathError as the model does. */
import { multiplied, normalised } from "./axes.mjs";
import { lookAlong } from "./geometry.mjs";
import { CHUNK_SEC, FRAMES_PER_SECOND, chunkSecAfter } from "./time_scale.mjs";

/** Units per second of a path that is drawn: as fast as flying. */
const DRAW_SPEED = 0.8;
/** Without snapping, a key moves by this part of what it moves with snapping. */
const FINE = 0.2;

/** Go on from the last keyframe to a place, looking where it goes, and be there at the end of a chunk. Selects the keyframe. */
export function drawTo(model, position) {
  const last = model.keyframes.at(-1);
  if (!last) {
    model.select([model.insert(0, { position, rotation: [0, 0, 0, 1] })]);
    return;
  }
  const distance = Math.hypot(...position.map((value, axis) => value - last.position[axis]));
  const numChunks = Math.max(1, Math.round(distance / DRAW_SPEED / CHUNK_SEC));
  const timeSec = chunkSecAfter(last.timeSec) + (numChunks - 1) * CHUNK_SEC;
  const rotation = lookAlong(last.position, position) ?? last.rotation;
  model.select([model.insert(timeSec, { position, rotation, zoom: last.zoom })]);
}

/** Add a keyframe at a time, where the sampled path then is. Selects it. */
export function insertAt(model, timeSec, sampled) {
  const time = model.snapTime(timeSec);
  const frame = Math.round(time * FRAMES_PER_SECOND);
  const position = sampled?.positions[frame];
  model.select([model.insert(time, position ? { position, rotation: sampled.rotations[frame] } : {})]);
}

/** Shift the selected keyframes by so many steps along each axis of the path. */
export function nudge(model, steps) {
  const size = model.snap.grid * (model.snap.enabled ? 1 : FINE);
  const moved = ({ id, position }) => ({ id, position: position.map((value, axis) => value + size * steps[axis]) });
  model.moveMany(selected(model).map(moved));
}

/** Turn the selected keyframes by so many steps to the right about the vertical, and up. */
export function turn(model, [right, up]) {
  const half = (model.snap.angleDeg * (model.snap.enabled ? 1 : FINE) * Math.PI) / 360;
  const about = [0, Math.sin(half * right), 0, Math.cos(half * right)];
  const raise = [Math.sin(half * up), 0, 0, Math.cos(half * up)];
  const moved = ({ id, rotation }) => ({ id, rotation: normalised(multiplied(multiplied(about, rotation), raise)) });
  model.moveMany(selected(model).map(moved));
}

/** Move keyframes by so many seconds from the times that they are given with; none goes below 0. */
export function retimeBy(model, keyframes, seconds) {
  const shiftSec = Math.max(seconds, -keyframes[0].timeSec);
  model.retimeMany(keyframes.map(({ id, timeSec }) => ({ id, timeSec: timeSec + shiftSec })));
}

/** The keyframe so many places after the first selected one, or the first one when none is; undefined in an empty path. */
export function neighbour({ keyframes, selection }, step) {
  const index = keyframes.findIndex(({ id }) => selection.has(id));
  return keyframes[index < 0 ? 0 : Math.min(keyframes.length - 1, Math.max(0, index + step))];
}

function selected({ keyframes, selection }) {
  return keyframes.filter(({ id }) => selection.has(id));
}
