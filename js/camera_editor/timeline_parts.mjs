// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Elements of the timeline. */
import { make } from "./dom.mjs";

const KEYS_HELP =
  "Timeline. Left and Right: one frame; with Shift one chunk; with Ctrl the selected keyframes. Page Up and Page Down: " +
  "previous and next keyframe. Home and End. Space: play. Enter: insert. Delete: remove. Ctrl+D: duplicate. " +
  "Plus and minus: zoom. 0: show all.";
const CANVAS_HELP = "Drag diamonds to change times, drag elsewhere to scrub, double-click in the lowest row to insert";

const STYLE = `
[data-lingbot="timeline-bar"] { position: relative; display: flex; align-items: center; gap: 8px; flex: none; height: 24px; font-size: 11px; }
[data-lingbot="timeline-bar"] input { width: 58px; height: 22px; padding: 0; border-radius: 4px; cursor: pointer; font: inherit;
  border: 1px solid var(--border-color, #4e4e4e); background: var(--comfy-input-bg, #222); color: var(--input-text, #ddd); }
[data-lingbot="timeline-bar"] textarea { position: absolute; left: 60px; top: 4px; width: 1px; height: 1px; padding: 0; border: 0;
  opacity: 0; resize: none; overflow: hidden; pointer-events: none; }
[data-lingbot="timeline-bar"] output { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  color: var(--descrip-text, #999); }
canvas[data-lingbot="timeline"] { flex: 1; min-height: 0; width: 100%; display: block; border-radius: 4px; touch-action: none; }
canvas[data-lingbot="timeline"].active { outline: 1px solid var(--p-primary-color, #6aa8ff); }
`;

/** Fills the element. Returns the parts: play button, line of text, textarea that gets the keys, canvas. */
export function buildTimeline(element) {
  const button = make("input", { type: "button" });
  const readout = make("output", { "aria-live": "polite" });
  const keys = make("textarea", { "aria-label": KEYS_HELP, "data-lingbot": "timeline-keys" });
  const canvas = make("canvas", { title: CANVAS_HELP, "data-lingbot": "timeline", "data-capture-wheel": "true" });
  element.style.display = "flex";
  element.style.flexDirection = "column";
  element.replaceChildren(
    make("style", { textContent: STYLE }),
    make("div", { "data-lingbot": "timeline-bar" }, button, keys, readout),
    canvas,
  );
  return { button, readout, keys, canvas };
}
