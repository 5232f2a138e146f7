// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { History } from "./history.mjs";

/**
 * One state that is edited with undo and redo. Knows it only as a value that never changes; `isSame(a, b)` tells
 * whether two look the same to the user.
 *
 * A drag is `begin(name)`, any number of steps, `commit()` (one undo step) or `cancel()`.
 *
 * Event "change" {structural, dragging, reason}, see `step`.
 */
export class Undoable extends EventTarget {
  #state;
  #isSame;
  #history;

  constructor(state, isSame) {
    super();
    this.#state = state;
    this.#isSame = isSame;
    this.#history = new History(isSame);
  }

  /** The state as it is now, frozen. */
  get state() {
    return this.#state;
  }

  // --- transactions, undo, redo ---

  /** Starts a drag or another group of edits. May be nested; only the outermost makes an undo step. */
  begin(name = "edit") {
    this.#history.begin(name, this.#state);
  }

  /** Ends what `begin` started, as one undo step if anything changed. */
  commit() {
    const name = this.#history.commit(this.#state);
    if (name !== null) this.#changed(true, name);
  }

  /** Ends what `begin` started and goes back to how it was then. */
  cancel() {
    const state = this.#history.cancel();
    if (state && state !== this.#state) this.#show(state, "cancel");
  }

  /** Groups the edits that `fn` makes. When it throws, none of them has happened. Returns what it returns. */
  transaction(name, fn) {
    this.begin(name);
    let result;
    try {
      result = fn();
    } catch (error) {
      this.cancel();
      throw error;
    }
    this.commit();
    return result;
  }

  /** Whether a drag or another group of edits is under way. */
  get isDragging() {
    return this.#history.isOpen;
  }

  get canUndo() {
    return this.#history.canUndo;
  }

  get canRedo() {
    return this.#history.canRedo;
  }

  /** Takes the last step back; during a drag, the drag. Returns whether there was one. */
  undo() {
    const state = this.#history.undo(this.#state);
    if (state) this.#show(state, "undo");
    return state !== null;
  }

  /** Makes the step again that was taken back last. Returns whether there was one. */
  redo() {
    const state = this.#history.redo(this.#state);
    if (state) this.#show(state, "redo");
    return state !== null;
  }

  // --- for the class that knows what the state is ---

  /** Goes on to another state; `structural` says whether more than values within its parts may differ. */
  step(state, structural, reason) {
    this.#history.before(this.#state);
    this.#state = Object.freeze(state);
    this.#changed(structural, reason);
  }

  /** Puts another state in place, as a step when it differs; with `reset` in any case, and all steps are forgotten. */
  replace(state, reset, reason) {
    if (reset) {
      this.#history.clear();
      this.#show(Object.freeze(state), reason);
    } else if (!this.#isSame(state, this.#state)) {
      this.step(state, true, reason);
    }
  }

  /** Called after every change, with the detail of its event. */
  stateChanged(detail) {
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }

  // --- inside ---

  #show(state, reason) {
    this.#state = state;
    this.#changed(true, reason);
  }

  #changed(structural, reason) {
    this.stateChanged({ structural, dragging: this.isDragging, reason });
  }
}
