// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { retimeBy } from "./edits.mjs";
import { PathError } from "./path_model.mjs";
import { keyframeAtPoint, timelineRows } from "./timeline_draw.mjs";

const DRAG_PIXELS = 3;
const ZOOM_PER_WHEEL = 0.002;

/**
 * The mouse on the timeline's canvas: drags diamonds, scrubs, zooms and inserts.
 *
 * Calls onPress() when a button goes down, onHold() when the playhead is taken, onScrub(timeSec),
 * onInsert(timeSec) for a double click in the row of keyframes, and onZoom() when `scale` has changed.
 */
export class TimelinePointer {
  #model;
  #canvas;
  #scale;
  #tell;
  /** {kind: "scrub"} or {kind: "keyframes", x, grabbedSec, moved, hasBegun}. */
  #drag = null;
  #refusal = null;
  #listeners = new AbortController();

  constructor({ model, canvas, scale, ...tell }) {
    this.#model = model;
    this.#canvas = canvas;
    this.#scale = scale;
    this.#tell = tell;
    const { signal } = this.#listeners;
    const on = (type, handler, options = {}) => canvas.addEventListener(type, handler, { ...options, signal });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", () => this.#up());
    on("pointercancel", () => this.cancel());
    on("dblclick", (event) => this.#doubleClick(event));
    on("wheel", (event) => this.#wheel(event), { passive: false });
  }

  get isDragging() {
    return this.#drag !== null;
  }

  /** Ends a drag; what it moved goes back. */
  cancel() {
    if (this.#drag?.hasBegun && this.#model.isDragging) this.#model.cancel();
    this.#drag = null;
    this.#refusal = null;
  }

  dispose() {
    this.cancel();
    this.#listeners.abort();
  }

  /** Place on the canvas in its own pixels, also where the host scales the graph. */
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.clientWidth / (box.width || 1);
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  #keyframeAt({ x, y }) {
    return keyframeAtPoint(this.#model.keyframes, this.#scale, x, y, this.#canvas.clientHeight);
  }

  #isInLane({ y }) {
    return y >= timelineRows(this.#canvas.clientHeight).laneTop;
  }

  #down(event) {
    if (event.button !== 0 || this.#drag) return;
    event.preventDefault();
    this.#tell.onPress();
    const point = this.#point(event);
    const keyframe = this.#keyframeAt(point);
    if (keyframe) {
      this.#select(keyframe.id, event.shiftKey || event.ctrlKey || event.metaKey);
      const moved = this.#model.keyframes.filter(({ id }) => this.#model.selection.has(id));
      this.#drag = { kind: "keyframes", x: point.x, grabbedSec: keyframe.timeSec, moved, hasBegun: false };
    } else {
      this.#tell.onHold();
      this.#drag = { kind: "scrub" };
      if (this.#isInLane(point) && !event.shiftKey) this.#model.select([]);
      this.#tell.onScrub(this.#scale.timeSec(point.x));
    }
    this.#canvas.setPointerCapture?.(event.pointerId);
  }

  #select(id, isAdding) {
    const selection = this.#model.selection;
    if (isAdding && selection.has(id)) selection.delete(id);
    else if (isAdding) selection.add(id);
    else if (!selection.has(id)) return this.#model.select([id]);
    return this.#model.select(selection);
  }

  #move(event) {
    const point = this.#point(event);
    const drag = this.#drag;
    if (!drag) {
      this.#canvas.style.cursor = this.#keyframeAt(point) ? "ew-resize" : "default";
    } else if (drag.kind === "scrub") {
      this.#tell.onScrub(this.#scale.timeSec(point.x));
    } else if (drag.hasBegun || Math.abs(point.x - drag.x) >= DRAG_PIXELS) {
      if (!drag.hasBegun) this.#model.begin("retime");
      drag.hasBegun = true;
      const wantedSec = drag.grabbedSec + (point.x - drag.x) / this.#scale.pixelsPerSec;
      this.#retime(drag.moved, this.#model.snapTime(wantedSec) - drag.grabbedSec);
    }
  }

  /** Where it is refused the keyframes stay; it is told only when the button is let go there. */
  #retime(keyframes, seconds) {
    try {
      retimeBy(this.#model, keyframes, seconds);
      this.#refusal = null;
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      this.#refusal = error;
    }
  }

  #up() {
    const refusal = this.#refusal;
    if (this.#drag?.hasBegun) this.#model.commit();
    this.#drag = this.#refusal = null;
    if (!refusal) return;
    this.#model.attempt(() => {
      throw refusal;
    });
  }

  #doubleClick(event) {
    const point = this.#point(event);
    if (!this.#isInLane(point) || this.#keyframeAt(point)) return;
    this.#tell.onInsert(this.#model.snapTime(this.#scale.timeSec(point.x)));
  }

  #wheel(event) {
    event.preventDefault();
    event.stopPropagation();
    const { deltaX, deltaY } = event;
    if (event.shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) this.#scale.pan(deltaX || deltaY);
    else this.#scale.zoom(Math.exp(-deltaY * ZOOM_PER_WHEEL), this.#point(event).x);
    this.#tell.onZoom();
  }
}
