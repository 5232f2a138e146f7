// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Looks of the editor, in the host's own colours. */

const ID = "lingbot-camera-editor-style";

const TEXT = `
.lbw-editor { position: absolute; inset: 0; display: grid; grid-template: auto minmax(60px, 1fr) auto auto / minmax(0, 1fr) auto;
  gap: 4px; font: 12px/1.4 system-ui, sans-serif; color: var(--fg-color, #ddd); background: var(--comfy-menu-bg, #202124);
  border-radius: 6px; padding: 4px; box-sizing: border-box; overflow: hidden; user-select: none; }
.lbw-editor:fullscreen { padding: 10px; border-radius: 0; }
.lbw-bar { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 3px 8px; align-items: center; }
.lbw-group { display: flex; }
.lbw-group input { border-radius: 0; margin-left: -1px; }
.lbw-group input:first-child { border-radius: 5px 0 0 5px; margin-left: 0; }
.lbw-group input:last-child { border-radius: 0 5px 5px 0; }
.lbw-group input:only-child { border-radius: 5px; }
.lbw-editor input[type=button] { height: 24px; padding: 0 8px; font: inherit; cursor: pointer; border-style: solid; border-width: 1px;
  border-color: var(--border-color, #4e4e4e); background: var(--comfy-input-bg, #2a2b2e); color: var(--input-text, #ddd); }
.lbw-editor input[type=button]:hover:enabled { filter: brightness(1.25); }
.lbw-editor input[type=button]:disabled { opacity: 0.4; cursor: default; }
.lbw-editor input[type=button][aria-pressed=true] { background: #2f5fa8; color: #fff; }
.lbw-editor input[type=button].lbw-do-fly[aria-pressed=true] { background: #b03a30; }
.lbw-editor input:focus-visible { outline: 2px solid #6aa0ff; outline-offset: -1px; }
.lbw-view { position: relative; min-height: 0; min-width: 0; overflow: hidden; border-radius: 5px; background: #17181b; }
.lbw-view.lbw-active { box-shadow: inset 0 0 0 1px #6aa0ff; }
.lbw-view.lbw-draw canvas { cursor: crosshair; }
.lbw-preview { position: absolute; right: 6px; top: 6px; width: min(176px, 28%); border: 1px solid #0009; border-radius: 4px;
  pointer-events: none; background: #17181b; }
.lbw-hint { position: absolute; left: 8px; bottom: 6px; right: 8px; pointer-events: none; color: #c8cad0;
  text-shadow: 0 1px 2px #000; white-space: pre-line; }
.lbw-keys { position: absolute; left: 0; top: 0; width: 1px; height: 1px; opacity: 0; border: 0; padding: 0; resize: none; pointer-events: none; }
.lbw-side { grid-row: 2 / 4; grid-column: 2; width: 224px; overflow: auto; min-height: 0; }
.lbw-side[hidden] { display: none; }
.lbw-timeline { grid-column: 1; height: 104px; min-width: 0; position: relative; }
.lbw-status { grid-column: 1 / -1; min-height: 17px; max-height: 34px; overflow: hidden; color: var(--descrip-text, #9a9ca3); cursor: text; user-select: text; }
.lbw-status[data-level=warning] { color: #e5b04a; }
.lbw-status[data-level=error] { color: #f0776c; }
`;

/** Put the style sheet into the page, once. */
export function addStyle() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = TEXT;
  document.head.append(style);
}
