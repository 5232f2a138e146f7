// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { make } from "./dom.mjs";
import { drawTo, insertAt, neighbour, nudge, turn } from "./edits.mjs";
import { FlyMode } from "./fly.mjs";
import { meaningOf } from "./keyboard.mjs";
import { Panels } from "./panels.mjs";
import { addStyle } from "./style.mjs";
import { FRAMES_PER_SECOND, chunksToReach } from "./time_scale.mjs";
import { Timeline } from "./timeline.mjs";
import { Toolbar } from "./toolbar.mjs";
import { PathView } from "./view3d.mjs";
import { hintOf, statusOf } from "./words.mjs";

const KEPT_EVENTS = ["pointerdown", "mousedown", "wheel", "contextmenu", "dblclick", "dragover", "drop", "paste", "copy", "cut"];
/** What changes the path besides its keyframes. */
const NODE_INPUTS = ["preset", "total_blocks", "easing", "world_scale"];

/**
 * Build the editor inside an element.
 *
 * @returns {Promise<Editor>} with dispose(), resize(), focus(), view, timeline
 */
export async function openEditor(options) {
  return new Editor(options);
}

class Editor {
  #model;
  #server;
  #host;
  #getPhotoUrl;
  #getTotalBlocks;
  #root;
  #keys;
  #toolbar;
  #panels;
  #fly;
  #sampled = null;
  #problem = "";
  #observer;
  #listeners = new AbortController();

  constructor({ element, model, server, host, getPhotoUrl, getTotalBlocks }) {
    this.#model = model;
    this.#server = server;
    this.#host = host;
    this.#getPhotoUrl = getPhotoUrl;
    this.#getTotalBlocks = getTotalBlocks;
    addStyle();
    this.#build(element);
    this.#listen();
    this.#changed();
  }

  /** Draws the path in space. */
  view;

  /** Draws the path over time. */
  timeline;

  /** The newest samples that the server gave, or null. */
  get sampled() {
    return this.#sampled;
  }

  focus() {
    this.#keys.focus({ preventScroll: true });
  }

  resize() {
    this.view.resize();
    this.timeline.redraw();
  }

  /** Nobody is looking: end drawing, playing and flying; what was flown is kept. */
  rest() {
    this.#setDrawing(false);
    if (this.timeline.isPlaying) this.timeline.togglePlay();
    if (this.#fly.isFlying) this.#toggleFlight();
  }

  dispose() {
    this.#listeners.abort();
    this.#observer.disconnect();
    this.#server.cancel();
    this.#fly.dispose();
    this.#panels.dispose();
    this.timeline.dispose();
    this.view.dispose();
    this.#root.remove();
  }

  // --- parts ---

  #build(element) {
    const root = (this.#root = part("div", "lbw-editor"));
    root.dataset.captureWheel = "true";
    const bar = part("div", "lbw-bar");
    const viewElement = (this.viewElement = part("div", "lbw-view"));
    const side = (this.sideElement = part("div", "lbw-side", { hidden: true }));
    const timelineElement = part("div", "lbw-timeline");
    this.status = part("div", "lbw-status", { role: "status" });
    this.hint = part("div", "lbw-hint");
    this.preview = part("canvas", "lbw-preview");
    this.#keys = part("textarea", "lbw-keys", { "aria-label": "Camera path editor: keyboard" });
    root.append(bar, viewElement, side, timelineElement, this.status, this.#keys);
    element.append(root);

    this.view = new PathView({ element: viewElement, model: this.#model, preview: this.preview });
    viewElement.append(this.preview, this.hint);
    this.#fly = new FlyMode({ model: this.#model, view: this.view, server: this.#server });
    this.timeline = new Timeline({
      model: this.#model,
      element: timelineElement,
      getSampled: () => this.#sampled,
      getStatus: () => this.#computed(),
      onScrub: (timeSec) => this.#scrub(timeSec),
    });
    this.#panels = new Panels({
      model: this.#model,
      element: side,
      server: this.#server,
      getTotalBlocks: () => this.#getTotalBlocks(),
      getSampled: () => this.#sampled,
      getPathText: () => this.#model.jsonWith(this.#nodeOptions()),
      onMessage: (text, level) => this.#say(text, level),
    });
    this.#toolbar = new Toolbar(bar, this.#actions());
    this.#observer = new ResizeObserver(() => this.resize());
    this.#observer.observe(viewElement);
    this.resize();
    this.view.fit();
  }

  #actions() {
    const model = this.#model;
    const edit = (fn) => () => model.attempt(fn);
    return {
      select: () => this.#setDrawing(false),
      draw: () => this.#setDrawing(!this.view.isDrawing),
      translate: () => this.#setGizmo("translate"),
      rotate: () => this.#setGizmo("rotate"),
      insert: edit(() => insertAt(model, this.timeline.timeSec, this.#sampled)),
      duplicate: edit(() => model.duplicate(model.selection)),
      remove: edit(() => model.remove(model.selection)),
      undo: () => model.undo(),
      redo: () => model.redo(),
      snap: () => {
        model.snap.enabled = !model.snap.enabled;
        this.view.update();
        this.#refresh();
      },
      fly: () => this.#toggleFlight(),
      fit: () => this.view.fit(),
      top: () => this.view.fit({ fromAbove: true }),
      length: () => {
        this.#host.setValue("total_blocks", chunksToReach(model.endSec));
        this.#host.markChanged();
        this.#sample();
      },
      side: () => {
        this.sideElement.hidden = !this.sideElement.hidden;
        this.#refresh();
      },
      full: () => (document.fullscreenElement ? document.exitFullscreen() : this.#root.requestFullscreen()),
      play: () => this.timeline.togglePlay(),
      selectAll: () => model.select(model.keyframes.map(({ id }) => id)),
      escape: () => this.#escape(),
    };
  }

  // --- events ---

  #listen() {
    const { signal } = this.#listeners;
    const root = this.#root;
    this.#model.addEventListener("change", ({ detail }) => this.#changed(detail.reason), { signal });
    this.#model.addEventListener("select", () => this.#selected(), { signal });
    this.#model.addEventListener("refused", ({ detail }) => this.#say(detail.message, "error"), { signal });
    this.view.addEventListener("pick", ({ detail }) => this.#pick(detail), { signal });
    this.view.addEventListener("place", ({ detail }) => this.#model.attempt(() => drawTo(this.#model, detail.position)), { signal });
    this.#fly.addEventListener("state", () => this.#refresh(), { signal });
    this.#fly.addEventListener("tick", () => this.#showHint(), { signal });
    for (const name of NODE_INPUTS) this.#host.onValue?.(name, () => !signal.aborted && this.#sample());
    this.#host.onRunEnded?.(() => this.#sample(), signal); // more chunks are computed now

    const actions = this.#actions();
    root.addEventListener("keydown", (event) => this.#keyDown(event, actions), { signal });
    root.addEventListener("keyup", (event) => this.#fly.key(event), { signal });
    this.#keys.addEventListener("input", () => (this.#keys.value = ""), { signal });
    this.#keys.addEventListener("focus", () => this.viewElement.classList.add("lbw-active"), { signal });
    this.#keys.addEventListener("blur", () => this.viewElement.classList.remove("lbw-active"), { signal });
    root.addEventListener("focusout", () => this.#fly.releaseKeys(), { signal });
    this.viewElement.addEventListener("pointerdown", () => this.focus(), { signal });
    // a button that was clicked gives the keyboard back; one that was reached with Tab keeps it
    root.addEventListener("click", ({ target, detail }) => target.type === "button" && detail > 0 && this.focus(), { signal });
    for (const name of ["drop", "paste"]) root.addEventListener(name, (event) => this.#import(event), { signal });
    root.addEventListener("dragover", (event) => event.preventDefault(), { signal });
    for (const name of KEPT_EVENTS) root.addEventListener(name, (event) => event.stopPropagation(), { signal });
    document.addEventListener("fullscreenchange", () => this.#refresh(), { signal });
    this.viewElement.addEventListener("mousedown", (event) => event.preventDefault(), { signal }); // keeps the focus
  }

  #keyDown(event, actions) {
    event.stopPropagation();
    const { target } = event;
    if (event.defaultPrevented || (target !== this.#keys && target.type !== "button")) return;
    if (target.type === "button" && (event.key === " " || event.key === "Enter" || event.key === "Tab")) return;
    if (this.#fly.isFlying) {
      const isUsed = this.#fly.key(event) || event.key === "Escape" || event.key === "Enter";
      if (event.key === "Escape" || event.key === "Enter") this.#toggleFlight();
      if (isUsed) event.preventDefault();
      return;
    }
    const meaning = meaningOf(event);
    if (!meaning) return;
    event.preventDefault();
    if (typeof meaning === "string") actions[meaning]();
    else this.#model.attempt(() => this.#moveByKey(meaning));
  }

  /** Files or text that were dropped, or pasted while the view has the keyboard. */
  #import(event) {
    const data = event.dataTransfer ?? event.clipboardData;
    if (event.defaultPrevented || !data || (event.type === "paste" && event.target !== this.#keys)) return;
    event.preventDefault();
    const text = data.getData("text/plain");
    if (data.files.length) this.#panels.importFiles([...data.files]);
    else if (text.trim()) this.#panels.importText(text);
  }

  #changed(reason = "") {
    this.#selected();
    this.#sample();
    if (reason === "preset" || reason === "import") {
      this.view.sampled = null; // the old path's
      this.view.fit();
    }
  }

  #selected() {
    this.view.update();
    this.timeline.redraw();
    this.#refresh();
  }

  // --- the server's view of the path ---

  #sample() {
    this.view.photoUrl = this.#getPhotoUrl();
    if (!this.#model.keyframes.length || this.#model.invalid) {
      this.#server.cancel();
      this.#take(null);
      return;
    }
    this.#server.sampleSoon(
      this.#model.json,
      this.#getTotalBlocks(),
      this.#nodeOptions(),
      (sampled) => this.#take(sampled),
      (error) => this.#take(this.#sampled, error.message),
    );
  }

  /** What the node's own inputs lay over the path. */
  #nodeOptions() {
    return { easing: this.#host.value("easing"), worldScale: this.#host.value("world_scale") };
  }

  #take(sampled, problem = "") {
    this.#sampled = sampled;
    this.#problem = problem;
    this.view.sampled = sampled;
    if (problem) this.#panels.setError(problem);
    else this.#panels.setSampled(sampled);
    this.#scrub(this.timeline.timeSec);
    this.timeline.redraw();
    this.#showStatus();
  }

  #computed() {
    const sampled = this.#sampled;
    return {
      knownChunks: sampled?.known_chunks ?? 0,
      textEvents: sampled?.text_events ?? [],
      totalBlocks: this.#getTotalBlocks(),
    };
  }

  #scrub(timeSec) {
    const last = (this.#sampled?.num_frames ?? 1) - 1;
    this.view.frame = Math.min(last, Math.max(0, Math.round(timeSec * FRAMES_PER_SECOND)));
  }

  // --- edits ---

  #pick({ id, add }) {
    const model = this.#model;
    if (id === null) {
      if (!add) model.select([]);
      return;
    }
    const selection = add ? model.selection : new Set();
    if (add && selection.has(id)) selection.delete(id);
    else selection.add(id);
    model.select(selection);
    if (!add) this.timeline.timeSec = model.get(id).timeSec;
    this.#scrub(this.timeline.timeSec);
  }

  #moveByKey({ nudge: steps, turn: turns, step }) {
    if (steps) nudge(this.#model, steps);
    if (turns) turn(this.#model, turns);
    const next = step && neighbour(this.#model, step);
    if (next) this.#pick({ id: next.id, add: false });
  }

  #escape() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.#model.isDragging) this.#model.undo();
    else if (this.view.isDrawing) this.#setDrawing(false);
    else this.#model.select([]);
  }

  async #toggleFlight() {
    if (!this.#fly.isFlying) {
      if (this.#model.invalid) return;
      this.#setDrawing(false);
      this.#fly.start();
      this.focus();
      return;
    }
    try {
      await this.#fly.land();
    } catch (error) {
      this.#say(`The flight could not be kept: ${error.message}`, "error");
    }
  }

  // --- showing what is on ---

  #setDrawing(isDrawing) {
    this.view.isDrawing = isDrawing;
    this.#refresh();
  }

  #setGizmo(mode) {
    this.view.gizmoMode = mode;
    this.#refresh();
  }

  #refresh() {
    if (!this.#toolbar) return;
    const { selection, canUndo, canRedo, keyframes, snap, invalid } = this.#model;
    const isFlying = this.#fly.isFlying;
    const none = !selection.size || Boolean(invalid) || isFlying;
    this.viewElement.classList.toggle("lbw-draw", this.view.isDrawing);
    this.#toolbar.update({
      select: { pressed: !this.view.isDrawing && !isFlying, disabled: isFlying },
      draw: { pressed: this.view.isDrawing, disabled: isFlying || Boolean(invalid) },
      translate: { pressed: this.view.gizmoMode === "translate" },
      rotate: { pressed: this.view.gizmoMode === "rotate" },
      insert: { disabled: isFlying || Boolean(invalid) },
      duplicate: { disabled: none },
      remove: { disabled: none },
      undo: { disabled: !canUndo || isFlying },
      redo: { disabled: !canRedo || isFlying },
      snap: { pressed: snap.enabled },
      fly: { pressed: isFlying, label: isFlying ? "Land" : "Fly", disabled: Boolean(invalid) },
      length: { disabled: !keyframes.length },
      side: { pressed: !this.sideElement.hidden },
      full: { pressed: Boolean(document.fullscreenElement) },
    });
    this.#showHint();
    this.#showStatus();
  }

  #showHint() {
    this.hint.textContent = hintOf({
      isFlying: this.#fly.isFlying,
      flownSec: this.#fly.timeSec,
      isDrawing: this.view.isDrawing,
      isEmpty: !this.#model.keyframes.length,
    });
  }

  #showStatus() {
    this.#say(...statusOf(this.#model, this.#sampled, this.#problem, this.#host.value("preset")));
  }

  #say(text, level = "info") {
    this.status.textContent = this.status.title = text;
    this.status.dataset.level = level;
  }
}

function part(tag, className, properties) {
  return make(tag, { className, ...properties });
}
