// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Camera-path JSON, version 1: reading with the place of what is wrong, and writing in one fixed form.
 *
 * The rules are those of lingbot_core/camera/files.py and assets/camera_path.schema.json, with one
 * exception: a path without keyframes can be read and written here, for it is what an empty editor
 * holds; Python asks for the first keyframe when it is used.
 */

export const FORMAT = "lingbot-camera-path";
export const VERSION = 1;
export const EASINGS = Object.freeze(["linear", "ease-in", "ease-out", "ease-in-out"]);
export const DEFAULT_WORLD_SCALE = 1.271182656288147;
export const DEFAULT_INTRINSICS = Object.freeze([502.9, 503.1, 415.8, 239.8]);
export const MAX_KEYFRAMES = 10_000;
export const MAX_TIME_SEC = 3599;
export const MIN_GAP_SEC = 1e-4;
export const MAX_COORDINATE = 1e9;
export const ZOOM_RANGE = Object.freeze([0.01, 100]);
export const WORLD_SCALE_RANGE = Object.freeze([1e-6, 1e6]);
const MAX_CHARACTERS = 64 * 2 ** 20;
const MAX_NAME_CHARACTERS = 200;
const MAX_COMPONENT = 1.1;
const QUATERNION_TOLERANCE = 1e-2;
const KEYS = ["format", "version", "name", "easing", "world_scale", "intrinsics", "keyframes"];
const KEYFRAME_KEYS = ["time_sec", "position", "rotation", "zoom"];

/** Something about a path that cannot be; the message is for the user. */
export class PathError extends Error {
  /**
   * @param {string} place where in the JSON, such as `keyframes[3].rotation`; empty when it is nowhere in particular
   * @param {string} complaint what is wrong there
   */
  constructor(place, complaint) {
    super(place ? `${place}: ${complaint}` : complaint);
    this.name = "PathError";
    this.place = place;
  }
}

/**
 * Reads a path. Empty text is an empty path.
 *
 * @param {string} text
 * @returns {{settings: {name: string, easing: string, worldScale: number|null, intrinsics: number[]|null},
 *   keyframes: {timeSec: number, position: number[], rotation: number[], zoom: number}[]}}
 *   World scale and intrinsics are null where the text leaves them out.
 * @throws {PathError}
 */
export function parsePath(text) {
  if (!text.trim()) return { settings: emptySettings(), keyframes: [] };
  if (text.length > MAX_CHARACTERS) fail("", `The camera path is too large: ${text.length} characters.`);
  if (text.trimStart().startsWith("{'")) {
    fail("", "This is not JSON but a printed Python dictionary. Send the path as a JSON string, not as an object.");
  }
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PathError("", `This is not valid JSON: ${error.message}${placeInText(text, error.message)}`);
  }
  return readPath(value);
}

function readPath(value) {
  if (!isObject(value)) fail("", "The camera path must be a JSON object.");
  checkKeys(value, KEYS, "");
  if (value.format !== FORMAT) fail("format", `must be "${FORMAT}".`);
  if (value.version !== VERSION) {
    const newer = Number.isInteger(value.version) && value.version > VERSION;
    fail("version", newer ? "the path was made by a newer version; update this one." : `must be ${VERSION}.`);
  }
  const settings = emptySettings();
  if ("name" in value) settings.name = checkName(value.name);
  if ("easing" in value) settings.easing = checkEasing(value.easing);
  if ("world_scale" in value) settings.worldScale = checkWorldScale(value.world_scale);
  if ("intrinsics" in value) settings.intrinsics = readIntrinsics(value.intrinsics);
  if (!Array.isArray(value.keyframes)) fail("keyframes", "must be a list.");
  if (value.keyframes.length > MAX_KEYFRAMES) fail("keyframes", `at most ${MAX_KEYFRAMES} are possible.`);
  let earliestSec = 0;
  const keyframes = value.keyframes.map((item, index) => {
    const place = `keyframes[${index}]`;
    const keyframe = readKeyframe(item, place);
    if (keyframe.timeSec < earliestSec) {
      fail(`${place}.time_sec`, `${keyframe.timeSec} s; keyframes must come one after the other.`);
    }
    earliestSec = keyframe.timeSec + MIN_GAP_SEC;
    return keyframe;
  });
  return { settings, keyframes };
}

function readKeyframe(item, place) {
  if (!isObject(item)) fail(place, "must be an object with time_sec and position.");
  checkKeys(item, KEYFRAME_KEYS, place);
  return {
    timeSec: checkTime(item.time_sec, `${place}.time_sec`),
    position: checkPosition(item.position, `${place}.position`),
    rotation: "rotation" in item ? checkRotation(item.rotation, `${place}.rotation`) : IDENTITY,
    zoom: "zoom" in item ? checkZoom(item.zoom, `${place}.zoom`) : 1,
  };
}

const IDENTITY = Object.freeze([0, 0, 0, 1]);

export function checkTime(value, place) {
  return checkNumber(value, place, 0, MAX_TIME_SEC);
}

export function checkPosition(value, place) {
  return checkList(value, 3, place, (item, itemPlace) => checkNumber(item, itemPlace, -MAX_COORDINATE, MAX_COORDINATE));
}

export function checkRotation(value, place) {
  const rotation = checkList(value, 4, place, (item, itemPlace) =>
    checkNumber(item, itemPlace, -MAX_COMPONENT, MAX_COMPONENT),
  );
  const length = Math.hypot(...rotation);
  if (Math.abs(length - 1) > QUATERNION_TOLERANCE) {
    fail(place, `this is not a unit quaternion x, y, z, w: its length is ${Number(length.toPrecision(6))}.`);
  }
  return rotation;
}

export function checkZoom(value, place) {
  return checkNumber(value, place, ...ZOOM_RANGE);
}

export function checkWorldScale(value) {
  return checkNumber(value, "world_scale", ...WORLD_SCALE_RANGE);
}

export function checkEasing(value) {
  if (!EASINGS.includes(value)) fail("easing", `must be one of ${EASINGS.join(", ")}.`);
  return value;
}

export function checkName(value) {
  if (typeof value !== "string") fail("name", "must be text.");
  if ([...value].length > MAX_NAME_CHARACTERS) fail("name", `must have at most ${MAX_NAME_CHARACTERS} characters.`);
  return value;
}

function readIntrinsics(value) {
  return checkList(value, 4, "intrinsics", (item, place) => {
    const isFocal = place === "intrinsics[0]" || place === "intrinsics[1]";
    checkNumber(item, place, isFocal ? 0 : -1e6, 1e6);
    if (isFocal && item === 0) fail(place, "must be above 0.");
    return plain(item);
  });
}

/**
 * Writes a path: fixed order of keys, one keyframe a line, what has its default left out. Numbers are
 * written so that reading gives the same 64-bit number. An empty path with no settings is empty text.
 */
export function formatPath({ settings, keyframes }) {
  const { name, easing, worldScale, intrinsics } = settings;
  if (!keyframes.length && !name && easing === EASINGS[0] && worldScale === null && intrinsics === null) return "";
  const lines = [`"format": "${FORMAT}"`, `"version": ${VERSION}`];
  if (name) lines.push(`"name": ${JSON.stringify(name)}`);
  if (easing !== EASINGS[0]) lines.push(`"easing": "${easing}"`);
  if (worldScale !== null) lines.push(`"world_scale": ${worldScale}`);
  if (intrinsics !== null) lines.push(`"intrinsics": [${intrinsics.join(", ")}]`);
  const rows = keyframes.map(({ timeSec, position, rotation, zoom }) => {
    const zoomPart = zoom === 1 ? "" : `, "zoom": ${zoom}`;
    return `    {"time_sec": ${timeSec}, "position": [${position.join(", ")}], "rotation": [${rotation.join(", ")}]${zoomPart}}`;
  });
  lines.push(rows.length ? `"keyframes": [\n${rows.join(",\n")}\n  ]` : '"keyframes": []');
  return `{\n  ${lines.join(",\n  ")}\n}`;
}

export function emptySettings() {
  return { name: "", easing: EASINGS[0], worldScale: null, intrinsics: null };
}

function checkNumber(value, place, low, high) {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    fail(place, value === undefined ? "is missing." : `must be a number, not ${shown(value)}.`);
  }
  if (value < low || value > high) fail(place, `${value} is outside ${low} to ${high}.`);
  return plain(value);
}

function checkList(value, length, place, check) {
  if (value === undefined) fail(place, "is missing.");
  if (!Array.isArray(value) || value.length !== length) fail(place, `must be a list of ${length} numbers.`);
  return Object.freeze(value.map((item, index) => check(item, `${place}[${index}]`)));
}

function checkKeys(value, known, place) {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) fail(place ? `${place}.${key}` : key, "is not a field of a camera path.");
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The number, without the sign of a negative zero, which JSON text would drop. */
function plain(value) {
  return value === 0 ? 0 : value;
}

function shown(value) {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

/** ", line 3 column 5" when the browser's message tells the position but not the line. */
function placeInText(text, message) {
  const position = /at position (\d+)(?!.*line \d)/.exec(message);
  if (!position) return "";
  const before = text.slice(0, Number(position[1])).split("\n");
  return ` (line ${before.length}, column ${before.at(-1).length + 1})`;
}

function fail(place, complaint) {
  throw new PathError(place, complaint);
}
