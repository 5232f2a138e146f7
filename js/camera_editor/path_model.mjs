// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { checkedKeyframe, inOrder, poseBetween, shiftOfCopies, withPoses, withTimes } from "./keyframe_list.mjs";
import {
  DEFAULT_INTRINSICS,
  DEFAULT_WORLD_SCALE,
  EASINGS,
  MAX_KEYFRAMES,
  MAX_TIME_SEC,
  MIN_GAP_SEC,
  PathError,
  checkEasing,
  checkName,
  checkTime,
  checkWorldScale,
  emptySettings,
  formatPath,
  parsePath,
} from "./path_json.mjs";
import { nearestChunkSec } from "./time_scale.mjs";
import { Undoable } from "./undoable.mjs";

export { DEFAULT_INTRINSICS, DEFAULT_WORLD_SCALE, EASINGS, MAX_KEYFRAMES, MAX_TIME_SEC, MIN_GAP_SEC, PathError };

const EMPTY = Object.freeze({
  settings: Object.freeze(emptySettings()),
  keyframes: Object.freeze([]),
  invalid: null,
});

/**
 * A camera path that is being edited: keyframes in OpenCV axes, selection, undo and redo. No DOM, and no
 * sampling, which is Python's.
 *
 * Whole states are kept for undo. A state is never changed; states share the keyframes they have in
 * common, so that a step costs one list of references.
 *
 *   state:  {settings, keyframes (frozen, in order of time), invalid: null | {text, message, place}}
 *
 * `invalid` is text that is no camera path, for instance typed into the widget. It is kept, and `text`
 * returns it, until it is corrected (`setText`) or dropped (`discardInvalid`); until then edits are refused,
 * for they would overwrite it. Behind it stands the last path that was valid.
 *
 * A drag is `begin(name)`, any number of edits, `commit()` (one undo step) or `cancel()`.
 *
 * Events: "change" {structural, dragging, reason}, where structural means that the number or order of the
 * keyframes, a setting or the validity may have changed, and not only poses; "select"; "refused" {message}.
 */
export class PathModel extends Undoable {
  #nextId = 1;
  #selection = new Set();
  #index = null;
  #json = null;

  constructor(text = "") {
    super(EMPTY, sameState);
    /** Rounding of edits made with the mouse. `timeSec`: "chunk" for the last frames of chunks, or a number of seconds. */
    this.snap = { enabled: false, grid: 0.5, angleDeg: 15, timeSec: "chunk" };
    this.setText(text, { reset: true });
  }

  // --- reading ---

  /** The valid path as camera-path JSON in its one fixed form; empty text when there is nothing in it. */
  get json() {
    this.#json ??= formatPath(this.state);
    return this.#json;
  }

  /** What the widget holds: the JSON, or the text that is none. */
  get text() {
    return this.state.invalid?.text ?? this.json;
  }

  /** What is wrong with the text: null | {text, message, place}. */
  get invalid() {
    return this.state.invalid;
  }

  /** Frozen list of frozen {id, timeSec, position, rotation, zoom}, in order of time. Ids survive undo and redo. */
  get keyframes() {
    return this.state.keyframes;
  }

  /** Frozen {name, easing, worldScale: number|null, intrinsics: number[4]|null}; null is the default. */
  get settings() {
    return this.state.settings;
  }

  get easing() {
    return this.settings.easing;
  }

  get worldScale() {
    return this.settings.worldScale ?? DEFAULT_WORLD_SCALE;
  }

  get intrinsics() {
    return this.settings.intrinsics ?? DEFAULT_INTRINSICS;
  }

  /** Time of the last keyframe, 0 when there is none. */
  get endSec() {
    return this.keyframes.at(-1)?.timeSec ?? 0;
  }

  /** The keyframe of an id, or undefined. */
  get(id) {
    return this.keyframes[this.indexOf(id)];
  }

  /** Position of an id among the keyframes, or -1. */
  indexOf(id) {
    this.#index ??= new Map(this.keyframes.map((keyframe, index) => [keyframe.id, index]));
    return this.#index.get(id) ?? -1;
  }

  /** The JSON with easing and world scale as the node's own inputs have them ("linear" and 0: as in the path). */
  jsonWith({ easing = EASINGS[0], worldScale = 0 } = {}) {
    const settings = { ...this.settings };
    if (easing !== EASINGS[0]) settings.easing = checkEasing(easing);
    if (worldScale) settings.worldScale = checkWorldScale(worldScale);
    return formatPath({ settings, keyframes: this.keyframes });
  }

  // --- whole paths ---

  /**
   * Replaces the path, as one undo step (`reset`: and forgets all steps).
   *
   * @throws {PathError} The text is no camera path; the model is as it was.
   */
  load(text, { reset = false, reason = "load" } = {}) {
    const { settings, keyframes } = parsePath(text);
    const list = keyframes.map((keyframe) => this.#keyframe(keyframe));
    this.replace({ settings: Object.freeze(settings), keyframes: Object.freeze(list), invalid: null }, reset, reason);
  }

  /** Takes over what the widget holds. Text that is no path is kept and told by `invalid`; nothing is thrown. */
  setText(text, { reset = false } = {}) {
    if (!reset && text === this.text) return;
    try {
      this.load(text, { reset, reason: "text" });
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      const invalid = Object.freeze({ text, message: error.message, place: error.place });
      this.replace({ ...(reset ? EMPTY : this.state), invalid }, reset, "text");
    }
  }

  /** Goes back to the last valid path; undo brings the text back. */
  discardInvalid() {
    if (this.invalid) this.replace({ ...this.state, invalid: null }, false, "discard");
  }

  // --- selection ---

  /** Ids of the selected keyframes. */
  get selection() {
    return new Set(this.#selection);
  }

  select(ids) {
    const known = new Set([...ids].filter((id) => this.indexOf(id) >= 0));
    if (known.size === this.#selection.size && [...known].every((id) => this.#selection.has(id))) return;
    this.#selection = known;
    this.dispatchEvent(new CustomEvent("select"));
  }

  // --- edits; each is an undo step unless a transaction is open ---

  /**
   * Adds a keyframe.
   *
   * @param {number} timeSec
   * @param {{position?: number[], rotation?: number[], zoom?: number}} [pose] what is left out is taken
   *   from between the neighbours
   * @returns {number} its id
   * @throws {PathError} The time is taken or a number is impossible.
   */
  insert(timeSec, pose = {}) {
    this.#checkEditable();
    const { position, rotation, zoom } = poseBetween(this.keyframes, checkTime(timeSec, "time_sec"));
    const [id] = this.insertMany([
      { timeSec, position: pose.position ?? position, rotation: pose.rotation ?? rotation, zoom: pose.zoom ?? zoom },
    ]);
    return id;
  }

  /**
   * Adds many keyframes, {timeSec, position, rotation?, zoom?} each, as one step.
   *
   * @returns {number[]} their ids
   * @throws {PathError} As `insert`; then none has been added.
   */
  insertMany(items, reason = "insert") {
    this.#checkEditable();
    const added = items.map((item) => this.#keyframe(checkedKeyframe(item)));
    if (!added.length) return [];
    this.#setKeyframes(inOrder([...this.keyframes, ...added]), true, reason);
    return added.map(({ id }) => id);
  }

  /** Removes keyframes. */
  remove(ids) {
    this.#checkEditable();
    const gone = new Set(ids);
    const left = this.keyframes.filter((keyframe) => !gone.has(keyframe.id));
    this.#setKeyframes(left.length === this.keyframes.length ? this.keyframes : left, true, "remove");
  }

  /**
   * Copies keyframes to later times, see `shiftOfCopies`.
   *
   * @returns {number[]} ids of the copies, which are then selected
   * @throws {PathError} There is no room before the longest time possible.
   */
  duplicate(ids) {
    this.#checkEditable();
    const wanted = new Set(ids);
    const originals = this.keyframes.filter((keyframe) => wanted.has(keyframe.id));
    if (!originals.length) return [];
    const shiftSec = shiftOfCopies(this.keyframes, originals);
    const copies = originals.map((keyframe) => ({ ...keyframe, timeSec: keyframe.timeSec + shiftSec }));
    const newIds = this.insertMany(copies, "duplicate");
    this.select(newIds);
    return newIds;
  }

  /** Changes the pose of a keyframe: any of position, rotation (made a unit quaternion) and zoom. */
  move(id, pose) {
    this.moveMany([{ id, ...pose }]);
  }

  /** Changes the poses of several keyframes, {id, position?, rotation?, zoom?} each. */
  moveMany(poses) {
    this.#checkEditable();
    const moved = poses.map(({ id, ...pose }) => ({ index: this.#known(id), ...pose }));
    this.#setKeyframes(withPoses(this.keyframes, moved), false, "move");
  }

  /**
   * Moves a keyframe to another time; it may pass others.
   *
   * @throws {PathError} Another keyframe is there.
   */
  retime(id, timeSec) {
    this.retimeMany([{ id, timeSec }]);
  }

  /** Moves several keyframes, {id, timeSec} each, at once. */
  retimeMany(items) {
    this.#checkEditable();
    const times = new Map(
      items.map(({ id, timeSec }) => [id, checkTime(timeSec, `keyframes[${this.#known(id)}].time_sec`)]),
    );
    this.#setKeyframes(withTimes(this.keyframes, times), true, "retime");
  }

  setEasing(easing) {
    this.#set({ easing: checkEasing(easing) });
  }

  /** The length that the network sees as 1; null for the default. */
  setWorldScale(worldScale) {
    this.#set({ worldScale: worldScale === null ? null : checkWorldScale(worldScale) });
  }

  setName(name) {
    this.#set({ name: checkName(name) });
  }

  /** Runs an edit; a PathError becomes a "refused" event and the result undefined. */
  attempt(fn) {
    try {
      return fn();
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      this.dispatchEvent(new CustomEvent("refused", { detail: { message: error.message } }));
      return undefined;
    }
  }

  // --- snapping ---

  /** The time that an edit with the mouse gets: at the end of a chunk when snapping, never outside the path's limits. */
  snapTime(timeSec) {
    const { enabled, timeSec: step } = this.snap;
    let time = timeSec;
    if (enabled) time = step === "chunk" ? nearestChunkSec(timeSec) : Math.round(timeSec / step) * step;
    return Math.min(MAX_TIME_SEC, Math.max(0, time));
  }

  /** The position on the grid when snapping, else as it is. */
  snapPosition(position) {
    const { enabled, grid } = this.snap;
    return enabled ? position.map((value) => Math.round(value / grid) * grid) : position;
  }

  // --- inside ---

  #keyframe({ timeSec, position, rotation, zoom }) {
    return Object.freeze({ id: this.#nextId++, timeSec, position, rotation, zoom });
  }

  #checkEditable() {
    if (this.invalid) {
      throw new PathError("", "The text of the path is not valid. Correct or discard it before you change the path.");
    }
  }

  #known(id) {
    const index = this.indexOf(id);
    if (index < 0) throw new PathError("", "This keyframe is no longer there.");
    return index;
  }

  #set(changes) {
    this.#checkEditable();
    if (Object.entries(changes).every(([key, value]) => this.settings[key] === value)) return;
    this.step({ ...this.state, settings: Object.freeze({ ...this.settings, ...changes }) }, true, Object.keys(changes)[0]);
  }

  #setKeyframes(list, structural, reason) {
    if (list === this.keyframes) return;
    this.step({ ...this.state, keyframes: Object.freeze(list) }, structural, reason);
  }

  /** What was worked out from the state before no longer holds. */
  stateChanged({ structural, ...detail }) {
    this.#json = null;
    if (structural) {
      this.#index = null;
      this.select(this.#selection);
    }
    super.stateChanged({ structural, ...detail });
  }
}

function sameState(a, b) {
  return (a.invalid?.text ?? null) === (b.invalid?.text ?? null) && formatPath(a) === formatPath(b);
}
