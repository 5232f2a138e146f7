// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * The row of buttons. They are INPUT elements, because the host's shortcuts act while anything else but an
 * input or a text area has the focus.
 */

/** name, label, tip; one list per group. */
const GROUPS = [
  [
    ["select", "Select", "Click keyframes to select them (Shift: several); drag to orbit, right button to pan, wheel to zoom"],
    ["draw", "Draw", "Click on the ground to go there: one keyframe per click (N)"],
  ],
  [
    ["translate", "Move", "Arrows on the selected keyframes (T)"],
    ["rotate", "Turn", "Rings on the selected keyframes (R)"],
  ],
  [
    ["insert", "Insert", "Add a keyframe where the playhead is (Insert or K)"],
    ["duplicate", "Duplicate", "Copy the selected keyframes to later (Ctrl+D)"],
    ["remove", "Delete", "Remove the selected keyframes (Delete)"],
  ],
  [
    ["undo", "Undo", "Ctrl+Z"],
    ["redo", "Redo", "Ctrl+Y"],
  ],
  [["snap", "Snap", "Round to the grid, to 15 degrees and to chunks while dragging (S)"]],
  [["fly", "Fly", "Steer the camera with W A S D Q E I K J L, mouse or gamepad; it is recorded from the last keyframe on (F)"]],
  [
    ["fit", "Fit", "Show the whole path (Home)"],
    ["top", "Top", "Show the path from above"],
    ["length", "Length", "Make the video as long as the path: sets total_blocks"],
  ],
  [
    ["side", "More", "Presets, import, export and settings"],
    ["full", "Full screen", "Fill the screen; Esc goes back"],
  ],
];

export class Toolbar {
  #buttons = new Map();

  /** `actions`: a function per name. */
  constructor(element, actions) {
    element.setAttribute("role", "toolbar");
    for (const names of GROUPS) {
      const group = document.createElement("span");
      group.className = "lbw-group";
      for (const [name, label, tip] of names) group.append(this.#button(name, label, tip, actions[name]));
      element.append(group);
    }
  }

  /** Show what is on and what is possible: {name: {pressed?, disabled?, label?}}. */
  update(states) {
    for (const [name, { pressed, disabled, label }] of Object.entries(states)) {
      const button = this.#buttons.get(name);
      if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed));
      if (disabled !== undefined) button.disabled = disabled;
      if (label !== undefined) button.value = label;
    }
  }

  #button(name, label, tip, action) {
    const button = document.createElement("input");
    button.type = "button";
    button.value = label;
    button.title = tip;
    button.dataset.action = name;
    button.className = `lbw-do-${name}`;
    button.addEventListener("click", action);
    this.#buttons.set(name, button);
    return button;
  }
}
