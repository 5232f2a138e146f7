// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Which key does what outside fly mode. The name of an action, or {nudge} in path axes, or {turn} in
 * degrees (right, up), or {step} to the keyframe before or after; null for keys without a meaning.
 */
const ACTIONS = {
  delete: "remove",
  backspace: "remove",
  escape: "escape",
  insert: "insert",
  k: "insert",
  n: "draw",
  t: "translate",
  r: "rotate",
  s: "snap",
  f: "fly",
  home: "fit",
  " ": "play",
};
const CONTROL_ACTIONS = { z: "undo", y: "redo", d: "duplicate", a: "selectAll" };
const NUDGES = {
  arrowleft: [-1, 0, 0],
  arrowright: [1, 0, 0],
  arrowup: [0, 0, 1],
  arrowdown: [0, 0, -1],
  pageup: [0, -1, 0],
  pagedown: [0, 1, 0],
};
const TURNS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, 1], arrowdown: [0, -1] };
const STEPS = { "[": -1, "]": 1 };

export function meaningOf({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (ctrlKey || metaKey) return name === "z" && shiftKey ? "redo" : (CONTROL_ACTIONS[name] ?? null);
  if (shiftKey && TURNS[name]) return { turn: TURNS[name] };
  if (NUDGES[name]) return { nudge: NUDGES[name] };
  if (STEPS[name]) return { step: STEPS[name] };
  return ACTIONS[name] ?? null;
}
