// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Flying a camera: for the picture while it is flown. The rules are those of lingbot_core/camera/keyboard.py,
 * which has the last word: a flight with keys alone is sent there as its key edges and comes back as keyframes.
 */
import { multiplied, normalised, slerp, turned } from "./axes.mjs";
import { FRAMES_PER_SECOND, numFrames } from "./time_scale.mjs";

const MOVE_SPEED = 0.8;
const TURN_SPEED_RAD = (32 * Math.PI) / 180;
const PITCH_LIMIT_RAD = (85 * Math.PI) / 180;
const COMPONENTS = ["ws", "adjl", "qe", "ik"];
const ALIASES = { arrowup: "w", arrowleft: "a", arrowdown: "s", arrowright: "d" };
const LOOK_RAD_PER_PIXEL = (0.15 * Math.PI) / 180;
const DEAD_ZONE = 0.12;
/** A longer gap between two pictures is no flying: the tab was hidden. */
const MAX_STEP_SEC = 0.25;

/** The key as one that means something, or "". */
export function readKey(key) {
  const name = ALIASES[key.toLowerCase()] ?? key.toLowerCase();
  return name.length === 1 && COMPONENTS.some((component) => component.includes(name)) ? name : "";
}

/** Sticks of a gamepad as {forward, right, turn, up}, each -1 to 1. */
export function readSticks(axes) {
  const value = (index) => (Math.abs(axes[index] ?? 0) > DEAD_ZONE ? axes[index] : 0);
  return { forward: 0 - value(1), right: value(0), turn: value(2), up: 0 - value(3) };
}

/**
 * One flight. Its clock starts with the first key, look or stick.
 *
 * Call `press`, `release`, `look` as they happen and `advance` for every picture; then `edges` or `keyframes`.
 */
export class Flight {
  #start;
  #held = [];
  #yaw = 0;
  #up = 0;
  #startPitch;
  #position;
  #clock = 0;
  #startedAt = null;
  #lastAt = 0;

  /** `start`: {position, rotation, zoom} in OpenCV axes. */
  constructor({ position, rotation, zoom }) {
    this.#start = { position, rotation: normalised(rotation), zoom };
    this.#position = [...position];
    this.#startPitch = Math.asin(Math.max(-1, Math.min(1, -turned([0, 0, 1], this.#start.rotation)[1])));
    /** Key edges since the start, {time_sec, key, is_down}, as the server takes them. */
    this.edges = [];
    /** Whether mouse or gamepad took part, which the server's integrator does not know. */
    this.isFree = false;
    /** [{timeSec, position, rotation}] of every picture. */
    this.track = [];
  }

  /** Seconds flown. */
  get timeSec() {
    return this.#clock;
  }

  get hasStarted() {
    return this.#startedAt !== null;
  }

  get pose() {
    return { ...this.#start, position: [...this.#position], rotation: this.#rotation() };
  }

  /** A key went down at a moment of `performance.now()`. Says whether it means anything. */
  press(name, nowMs) {
    const key = readKey(name);
    if (!key) return false;
    if (this.#held.includes(key)) return true; // the keyboard repeats it
    this.#edge(key, true, nowMs);
    this.#held.push(key);
    return true;
  }

  release(name, nowMs) {
    const key = readKey(name);
    if (!this.#held.includes(key)) return false;
    this.#edge(key, false, nowMs);
    this.#held = this.#held.filter((held) => held !== key);
    return true;
  }

  /** Let go of everything, as at the end and when the keyboard goes elsewhere. */
  releaseAll(nowMs) {
    for (const key of [...this.#held]) this.release(key, nowMs);
  }

  /** The mouse was dragged so many pixels right and down. */
  look(right, down, nowMs) {
    this.advance(nowMs, null, true);
    this.isFree = true;
    this.#turn(right * LOOK_RAD_PER_PIXEL, -down * LOOK_RAD_PER_PIXEL);
  }

  /** Fly until now. `sticks`: see `readSticks`. */
  advance(nowMs, sticks = null, starts = false) {
    const steered = sticks && Object.values(sticks).some(Boolean);
    if (!this.hasStarted) {
      if (!steered && !starts) return;
      this.#startedAt = this.#lastAt = nowMs;
      this.track.push({ timeSec: 0, ...this.pose });
    }
    const step = Math.min(MAX_STEP_SEC, Math.max(0, (nowMs - this.#lastAt) / 1000));
    this.#lastAt = nowMs;
    if (!step) return;
    this.#clock += step;
    const keys = this.#active();
    const has = (key) => (keys.has(key) ? 1 : 0);
    const turn = (has("d") || has("l")) - (has("a") || has("j")) + (sticks?.turn ?? 0);
    this.#turn(turn * TURN_SPEED_RAD * step, (has("i") - has("k") + (sticks?.up ?? 0)) * TURN_SPEED_RAD * step);
    const rotation = this.#rotation();
    this.#step([0, 0, 1], (has("w") - has("s") + (sticks?.forward ?? 0)) * MOVE_SPEED * step, rotation);
    this.#step([1, 0, 0], (has("e") - has("q") + (sticks?.right ?? 0)) * MOVE_SPEED * step, rotation);
    if (steered) this.isFree = true;
    this.track.push({ timeSec: this.#clock, ...this.pose });
  }

  /** Keyframes at the ends of chunks as they were flown here, for a flight that begins at `startSec` of the path. */
  keyframes(startSec) {
    const found = [{ timeSec: startSec, ...this.#start }];
    let at = 1;
    for (let chunk = 1; ; chunk += 1) {
      const endSec = (numFrames(chunk) - 1) / FRAMES_PER_SECOND - startSec;
      if (endSec < 1e-3) continue;
      while (at < this.track.length && this.track[at].timeSec < endSec) at += 1;
      const [before, after] = [this.track[at - 1], this.track[at]];
      if (!before) return found;
      const timeSec = startSec + endSec;
      if (!after) {
        if (before.timeSec > (found.at(-1).timeSec - startSec)) found.push({ ...before, timeSec });
        return found;
      }
      const share = (endSec - before.timeSec) / (after.timeSec - before.timeSec);
      const position = before.position.map((value, axis) => value + share * (after.position[axis] - value));
      found.push({ ...before, timeSec, position, rotation: slerp(before.rotation, after.rotation, share) });
    }
  }

  #edge(key, isDown, nowMs) {
    this.advance(nowMs, null, true);
    this.edges.push({ time_sec: this.#clock, key, is_down: isDown });
  }

  /** Of each group of keys that exclude each other the one pressed last. */
  #active() {
    return new Set(COMPONENTS.map((component) => this.#held.findLast((key) => component.includes(key))).filter(Boolean));
  }

  #turn(right, up) {
    this.#yaw += right;
    if (Math.abs(this.#startPitch + this.#up + up) <= PITCH_LIMIT_RAD) this.#up += up;
  }

  #step(axis, distance, rotation) {
    const [x, , z] = turned(axis, rotation);
    const level = Math.hypot(x, z);
    if (!distance || level < 1e-12) return; // an axis that points straight up or down leads nowhere
    this.#position[0] += (distance * x) / level;
    this.#position[2] += (distance * z) / level;
  }

  #rotation() {
    const yaw = [0, Math.sin(this.#yaw / 2), 0, Math.cos(this.#yaw / 2)];
    const up = [Math.sin(this.#up / 2), 0, 0, Math.cos(this.#up / 2)];
    return normalised(multiplied(multiplied(yaw, this.#start.rotation), up));
  }
}
