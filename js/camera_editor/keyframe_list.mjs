// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Edits of a list of keyframes {id, timeSec, position, rotation, zoom} in order of time, as functions that
 * give a new list and leave the old one alone. What cannot be is a PathError.
 */
import { normalised, slerp } from "./axes.mjs";
import {
  MAX_KEYFRAMES,
  MAX_TIME_SEC,
  MIN_GAP_SEC,
  PathError,
  checkPosition,
  checkRotation,
  checkTime,
  checkZoom,
} from "./path_json.mjs";
import { CHUNK_SEC } from "./time_scale.mjs";

const ORIGIN = Object.freeze({
  position: Object.freeze([0, 0, 0]),
  rotation: Object.freeze([0, 0, 0, 1]),
  zoom: 1,
});

/** A keyframe's values, checked; pose values that are left out are those of the origin. */
export function checkedKeyframe(values) {
  const { timeSec, position, rotation, zoom } = { ...ORIGIN, ...defined(values) };
  return {
    timeSec: checkTime(timeSec, "time_sec"),
    position: checkPosition(position, "position"),
    rotation: unit(rotation, "rotation"),
    zoom: checkZoom(zoom, "zoom"),
  };
}

/** The list in order of time, when there are not too many and no two at the same time. */
export function inOrder(list) {
  if (list.length > MAX_KEYFRAMES) throw new PathError("keyframes", `at most ${MAX_KEYFRAMES} are possible.`);
  list.sort((a, b) => a.timeSec - b.timeSec);
  for (let index = 1; index < list.length; index++) {
    if (!isNear(list[index].timeSec, list[index - 1])) continue;
    const time = Number(list[index].timeSec.toFixed(4));
    throw new PathError("", `There is a keyframe at ${time} s already. Choose another time.`);
  }
  return list;
}

/** The list with new poses, {index, position?, rotation?, zoom?} each; the same list when nothing changes. */
export function withPoses(keyframes, poses) {
  const list = [...keyframes];
  for (const { index, ...pose } of poses) {
    const place = `keyframes[${index}]`;
    const { position, rotation, zoom } = defined(pose);
    const keyframe = Object.freeze({
      ...list[index],
      ...(position && { position: checkPosition(position, `${place}.position`) }),
      ...(rotation && { rotation: unit(rotation, `${place}.rotation`) }),
      ...(zoom !== undefined && { zoom: checkZoom(zoom, `${place}.zoom`) }),
    });
    if (!samePose(keyframe, list[index])) list[index] = keyframe;
  }
  return list.some((keyframe, index) => keyframe !== keyframes[index]) ? list : keyframes;
}

/** The list with new times by id, in order; the same list when nothing changes. */
export function withTimes(keyframes, times) {
  const list = keyframes.map((keyframe) => {
    const timeSec = times.get(keyframe.id);
    return timeSec === undefined || timeSec === keyframe.timeSec ? keyframe : Object.freeze({ ...keyframe, timeSec });
  });
  return list.some((keyframe, index) => keyframe !== keyframes[index]) ? inOrder(list) : keyframes;
}

/** A pose between the neighbours of a moment: a first guess that the user then moves, not a sample of the path. */
export function poseBetween(keyframes, timeSec) {
  const index = firstAfter(keyframes, timeSec);
  const [before, after] = [keyframes[index - 1], keyframes[index]];
  if (!before || !after) return before ?? after ?? ORIGIN;
  const share = (timeSec - before.timeSec) / (after.timeSec - before.timeSec);
  return {
    position: before.position.map((value, axis) => value + share * (after.position[axis] - value)),
    rotation: slerp(before.rotation, after.rotation, share),
    zoom: before.zoom * (after.zoom / before.zoom) ** share,
  };
}

/**
 * By how many seconds copies of some keyframes are later: of a single one a chunk, or halfway to the next
 * where that is near; of several so that they come behind their last one, a chunk later, or as many more
 * as it takes for all times to be free.
 */
export function shiftOfCopies(keyframes, originals) {
  const [first, last] = [originals[0], originals.at(-1)];
  if (first === last) {
    const next = keyframes[firstAfter(keyframes, first.timeSec)];
    const roomSec = (next?.timeSec ?? Infinity) - first.timeSec;
    return roomSec >= 2 * CHUNK_SEC ? CHUNK_SEC : roomSec / 2;
  }
  const spanSec = last.timeSec - first.timeSec;
  for (let shiftSec = spanSec + CHUNK_SEC; first.timeSec + shiftSec <= MAX_TIME_SEC; shiftSec += CHUNK_SEC) {
    if (originals.every(({ timeSec }) => isFree(keyframes, timeSec + shiftSec))) return shiftSec;
  }
  throw new PathError("", "There is no room for the copies before the end of the longest path.");
}

/** Index of the first keyframe later than a time. */
function firstAfter(keyframes, timeSec) {
  let low = 0;
  let high = keyframes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keyframes[middle].timeSec > timeSec) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isFree(keyframes, timeSec) {
  const index = firstAfter(keyframes, timeSec);
  return !isNear(timeSec, keyframes[index - 1]) && !isNear(timeSec, keyframes[index]);
}

/** Whether Python would find a time too close to a keyframe; written as there, so that both agree to the last bit. */
function isNear(timeSec, keyframe) {
  if (!keyframe) return false;
  const [earlier, later] = timeSec < keyframe.timeSec ? [timeSec, keyframe.timeSec] : [keyframe.timeSec, timeSec];
  return later < earlier + MIN_GAP_SEC;
}

/** A rotation given by an edit, as a unit quaternion; one of length 0 is refused. */
function unit(rotation, place) {
  const length = Array.isArray(rotation) && rotation.length === 4 ? Math.hypot(...rotation) : NaN;
  const isKept = Math.abs(length - 1) < 1e-12 || !(length > 0);
  return checkRotation(isKept ? rotation : normalised(rotation), place);
}

function samePose(a, b) {
  const sameList = (one, other) => one.every((value, index) => value === other[index]);
  return a.zoom === b.zoom && sameList(a.position, b.position) && sameList(a.rotation, b.rotation);
}

function defined(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
