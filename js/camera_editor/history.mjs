// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0

const MAX_STEPS = 300;

/**
 * Steps that can be taken back and made again. Knows states only as values that never change.
 *
 * A group of edits is `begin`, any number of `before`, `commit` or `cancel`; groups may be nested, and only
 * the outermost makes a step. `isSame(a, b)` tells whether two states look the same to the user.
 */
export class History {
  #isSame;
  #undo = [];
  #redo = [];
  #open = [];

  constructor(isSame) {
    this.#isSame = isSame;
  }

  get isOpen() {
    return this.#open.length > 0;
  }

  get canUndo() {
    return this.isOpen || this.#undo.length > 0;
  }

  get canRedo() {
    return !this.isOpen && this.#redo.length > 0;
  }

  clear() {
    this.#undo = [];
    this.#redo = [];
    this.#open = [];
  }

  /** To be called with the state that an edit is about to replace. */
  before(state) {
    if (!this.isOpen) this.#remember(state);
  }

  begin(name, state) {
    this.#open.push({ name, state });
  }

  /** Ends a group. Returns its name when it was the outermost and something in it changed, else null. */
  commit(state) {
    const started = this.#open.pop();
    if (!started || this.isOpen || started.state === state) return null;
    if (!this.#isSame(started.state, state)) this.#remember(started.state);
    return started.name;
  }

  /** Ends a group. Returns the state to go back to, or null when there was none. */
  cancel() {
    return this.#open.pop()?.state ?? null;
  }

  /** The state one step back, during a group the one in which it began; null when there is none. */
  undo(state) {
    if (this.isOpen) {
      const [first] = this.#open;
      this.#open = [];
      return first.state;
    }
    if (!this.#undo.length) return null;
    this.#redo.push(state);
    return this.#undo.pop();
  }

  /** The state that was taken back last; null when there is none. */
  redo(state) {
    if (!this.canRedo) return null;
    this.#undo.push(state);
    return this.#redo.pop();
  }

  #remember(state) {
    this.#undo.push(state);
    if (this.#undo.length > MAX_STEPS) this.#undo.shift();
    this.#redo = [];
  }
}
