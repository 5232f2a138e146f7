// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { retimeBy } from "./edits.mjs";
import { Playback } from "./playback.mjs";
import {
  CHUNK_SEC,
  FRAMES_PER_SECOND,
  TimeScale,
  chunkAt,
  chunkSecAfter,
  chunkSecBefore,
  chunkStartSec,
  chunksToReach,
  clamp,
} from "./time_scale.mjs";
import { drawTimeline, sampledPose, statusWords, themeColours } from "./timeline_draw.mjs";
import { buildTimeline } from "./timeline_parts.mjs";
import { TimelinePointer } from "./timeline_pointer.mjs";

const MARGIN = 10;
const FRAME_SEC = 1 / FRAMES_PER_SECOND;

/**
 * The timeline under the view: ruler, chunks, speed, keyframes, playhead, play button.
 *
 * Keys are handled in a textarea of its own, which cannot be seen: the host's shortcuts spare only inputs
 * and textareas. `handleKey` can be called for keys that arrive elsewhere.
 *
 * getSampled() gives the server's answer to a sample request or null. getStatus(), optional, gives
 * {knownChunks, totalBlocks, textEvents}; what it leaves out is taken from the sampled path.
 */
export class Timeline {
  #model;
  #element;
  #getSampled;
  #getStatus;
  #onScrub;
  #onPlay;
  #canvas;
  #keys;
  #button;
  #readout;
  #scale = new TimeScale({ left: MARGIN });
  #colours = null;
  #timeSec = 0;
  /** End of what fits in the width; null after the user zoomed or panned. NaN: fit again. */
  #fittedSec = NaN;
  #pointer;
  #scheduled = 0;
  #playback = new Playback((seconds) => this.#advance(seconds));
  #listeners = new AbortController();

  constructor({ model, element, getSampled, getStatus = () => ({}), onScrub = () => {}, onPlay = () => {} }) {
    this.#model = model;
    this.#element = element;
    this.#getSampled = getSampled;
    this.#getStatus = getStatus;
    this.#onScrub = onScrub;
    this.#onPlay = onPlay;
    const { canvas, keys, button, readout } = buildTimeline(element);
    this.#canvas = canvas;
    this.#keys = keys;
    this.#button = button;
    this.#readout = readout;
    this.#pointer = new TimelinePointer({
      model,
      canvas,
      scale: this.#scale,
      onPress: () => this.focus(),
      onScrub: (timeSec) => this.#scrub(timeSec),
      onHold: () => this.#stop(),
      onInsert: (timeSec) => this.#insertAt(timeSec),
      onZoom: () => this.#zoomed(),
    });
    this.#showPlaying();
    this.#listen();
    this.redraw();
  }

  /** Where the playhead is, in seconds. */
  get timeSec() {
    return this.#timeSec;
  }

  set timeSec(timeSec) {
    this.#timeSec = clamp(timeSec, 0, this.#endSec());
    this.redraw();
  }

  get isPlaying() {
    return this.#playback.isRunning;
  }

  focus() {
    this.#keys.focus({ preventScroll: true });
  }

  /** Draws again before the next picture, at the size that the element then has. */
  redraw() {
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      this.#draw();
    });
  }

  togglePlay() {
    if (this.isPlaying) this.#stop();
    else this.#start();
  }

  /** Shows the whole path. */
  fit() {
    this.#fittedSec = NaN;
    this.redraw();
  }

  /** Inserts a keyframe where the path is at the playhead; returns its id, or undefined when it was refused. */
  insertAtPlayhead() {
    return this.#insertAt(this.#model.snapTime(this.#timeSec));
  }

  /**
   * Handles a key. Returns whether it meant something here, in which case the event is stopped.
   *
   * @param {KeyboardEvent} event
   */
  handleKey(event) {
    const isHandled = event.ctrlKey || event.metaKey ? this.#controlKey(event) : this.#plainKey(event);
    if (isHandled) {
      event.preventDefault();
      event.stopPropagation();
    }
    return isHandled;
  }

  dispose() {
    this.#stop();
    this.#pointer.dispose();
    cancelAnimationFrame(this.#scheduled);
    this.#listeners.abort();
    this.#element.replaceChildren();
  }

  // --- set-up ---

  #listen() {
    const { signal } = this.#listeners;
    const on = (target, type, handler) => target.addEventListener(type, handler, { signal });
    on(this.#button, "click", () => this.togglePlay());
    on(this.#keys, "keydown", (event) => this.handleKey(event));
    on(this.#keys, "input", () => (this.#keys.value = ""));
    on(this.#keys, "focus", () => this.#canvas.classList.add("active"));
    on(this.#keys, "blur", () => this.#canvas.classList.remove("active"));
    on(this.#model, "change", () => this.redraw());
    on(this.#model, "select", () => this.redraw());
  }

  // --- what is shown ---

  #status() {
    const sampled = this.#getSampled();
    const status = this.#getStatus() ?? {};
    return {
      numChunks: sampled?.num_chunks || status.totalBlocks || chunksToReach(this.#model.endSec),
      knownChunks: status.knownChunks ?? sampled?.known_chunks ?? 0,
      textEvents: status.textEvents ?? sampled?.text_events ?? [],
      chunks: sampled?.chunks ?? [],
      seen: sampled?.seen,
    };
  }

  /** End of the video, or of the path where that is later. */
  #endSec() {
    return Math.max(chunkStartSec(this.#status().numChunks) - FRAME_SEC, this.#model.endSec);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
      this.#colours = themeColours(this.#element);
      if (this.#fittedSec !== null) this.#fittedSec = NaN;
    }
    const status = this.#status();
    this.#fitUnlessZoomed(width);
    const ctx = this.#canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawTimeline(ctx, {
      ...status,
      width,
      height,
      scale: this.#scale,
      colours: this.#colours,
      keyframes: this.#model.keyframes,
      selection: this.#model.selection,
      timeSec: this.#timeSec,
    });
    this.#describe(status);
  }

  #fitUnlessZoomed(width) {
    const endSec = this.#endSec() + FRAME_SEC;
    if (this.#fittedSec === null || this.#fittedSec === endSec || this.#pointer.isDragging) return;
    this.#scale.fit(endSec, width - 2 * MARGIN);
    this.#fittedSec = endSec;
  }

  /** The user chose what is shown: no more fitting. */
  #zoomed() {
    this.#fittedSec = null;
    this.redraw();
  }

  #describe({ knownChunks, numChunks }) {
    const { keyframes, selection } = this.#model;
    const words = [`${this.#timeSec.toFixed(2)} s`, `chunk ${chunkAt(this.#timeSec)}`];
    if (selection.size === 1) {
      const [id] = selection;
      const index = this.#model.indexOf(id);
      words.push(`keyframe ${index + 1} of ${keyframes.length} at ${keyframes[index].timeSec.toFixed(3)} s`);
    } else if (selection.size) {
      words.push(`${selection.size} of ${keyframes.length} keyframes selected`);
    }
    words.push(statusWords(knownChunks, numChunks));
    const text = words.filter(Boolean).join(" · ");
    if (this.#readout.textContent !== text) this.#readout.textContent = text;
    this.#readout.title = text;
  }

  // --- playing ---

  #start() {
    if (this.#timeSec >= this.#endSec() - FRAME_SEC / 2) this.#timeSec = 0;
    this.#playback.start();
    this.#showPlaying();
    this.#onPlay(true);
  }

  #advance(seconds) {
    const timeSec = this.#timeSec + seconds;
    this.#scrub(timeSec > this.#endSec() ? 0 : timeSec);
  }

  #stop() {
    if (!this.isPlaying) return;
    this.#playback.stop();
    this.#showPlaying();
    this.#onPlay(false);
  }

  #showPlaying() {
    this.#button.value = this.isPlaying ? "Pause" : "Play";
    this.#button.title = this.isPlaying ? "Stop the camera" : "Move the camera along the path";
    this.#readout.setAttribute("aria-live", this.isPlaying ? "off" : "polite");
  }

  #scrub(timeSec) {
    this.timeSec = timeSec;
    this.#follow();
    this.#onScrub(this.#timeSec);
  }

  /** Keeps the playhead in sight when only a part of the path is shown. */
  #follow() {
    const x = this.#scale.x(this.#timeSec);
    const right = this.#canvas.clientWidth - MARGIN;
    if (x > right) this.#scale.pan(x - MARGIN);
    else if (x < MARGIN) this.#scale.pan(x - MARGIN);
  }

  // --- edits ---

  #insertAt(timeSec) {
    const pose = (this.#model.keyframes.length && sampledPose(this.#getSampled(), timeSec)) || {};
    const id = this.#model.attempt(() => this.#model.insert(timeSec, pose));
    if (id !== undefined) this.#model.select([id]);
    return id;
  }

  // --- keys ---

  #plainKey({ key, shiftKey }) {
    const actions = {
      ArrowLeft: () => this.#scrub(shiftKey ? chunkSecBefore(this.#timeSec) : this.#timeSec - FRAME_SEC),
      ArrowRight: () => this.#scrub(shiftKey ? chunkSecAfter(this.#timeSec) : this.#timeSec + FRAME_SEC),
      PageUp: () => this.#selectNeighbour(-1),
      PageDown: () => this.#selectNeighbour(1),
      Home: () => this.#scrub(0),
      End: () => this.#scrub(this.#endSec()),
      " ": () => this.togglePlay(),
      Enter: () => this.insertAtPlayhead(),
      Insert: () => this.insertAtPlayhead(),
      Delete: () => this.#model.attempt(() => this.#model.remove(this.#model.selection)),
      Backspace: () => this.#model.attempt(() => this.#model.remove(this.#model.selection)),
      "+": () => this.#zoom(1.5),
      "=": () => this.#zoom(1.5),
      "-": () => this.#zoom(1 / 1.5),
      0: () => this.fit(),
    };
    if (key === "Escape") return this.#escape();
    if (!(key in actions)) return false;
    actions[key]();
    return true;
  }

  #controlKey({ key, shiftKey }) {
    const model = this.#model;
    const actions = {
      arrowleft: () => this.#nudge(shiftKey ? -CHUNK_SEC : -FRAME_SEC),
      arrowright: () => this.#nudge(shiftKey ? CHUNK_SEC : FRAME_SEC),
      a: () => model.select(model.keyframes.map(({ id }) => id)),
      d: () => model.attempt(() => model.duplicate(model.selection)),
      z: () => (shiftKey ? model.redo() : model.undo()),
      y: () => model.redo(),
    };
    const action = actions[key.toLowerCase()];
    action?.();
    return action !== undefined;
  }

  /** Ends a drag, else clears the selection; with neither the key is left to others. */
  #escape() {
    if (!this.#pointer.isDragging && !this.#model.selection.size) return false;
    if (this.#pointer.isDragging) this.#pointer.cancel();
    else this.#model.select([]);
    return true;
  }

  #nudge(seconds) {
    const { keyframes, selection } = this.#model;
    const moved = keyframes.filter(({ id }) => selection.has(id));
    if (moved.length) this.#model.attempt(() => retimeBy(this.#model, moved, seconds));
  }

  #selectNeighbour(direction) {
    const { keyframes } = this.#model;
    const times = keyframes.map(({ timeSec }) => timeSec);
    const index =
      direction > 0
        ? times.findIndex((timeSec) => timeSec > this.#timeSec + 1e-9)
        : times.findLastIndex((timeSec) => timeSec < this.#timeSec - 1e-9);
    if (index < 0) return;
    this.#model.select([keyframes[index].id]);
    this.#scrub(times[index]);
  }

  #zoom(factor) {
    this.#scale.zoom(factor, this.#scale.x(this.#timeSec));
    this.#zoomed();
  }
}
