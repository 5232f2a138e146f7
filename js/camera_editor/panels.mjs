// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { Section, choice, labelled, make, pushButton, saveFile } from "./dom.mjs";
import { DEFAULT_WORLD_SCALE, EASINGS, PathError } from "./path_model.mjs";
import { PresetPanel } from "./preset_panel.mjs";

const MAX_FILE_BYTES = 64 * 2 ** 20;
const REFUSAL_MS = 8000;
const EXPORTS = [
  ["json", "JSON", "Camera-path JSON, as the node's text has it"],
  ["npy", "NumPy", "poses.npy and intrinsics.npy, one row per frame, as LingBot-World's examples have them"],
  ["colmap", "COLMAP", "cameras.txt and images.txt"],
  ["nerfstudio", "nerfstudio", "transforms.json"],
  ["viewer", "3D viewer", "Cameras of ComfyUI's 3D viewer"],
];

const STYLE = `
[data-lingbot="panels"] { font-size: 11px; color: var(--input-text, #ddd); background: var(--comfy-menu-bg, #353535);
  overflow-y: auto; overflow-x: hidden; padding: 6px; box-sizing: border-box;
  color-scheme: dark; }
[data-lingbot="panels"] section { border-top: 1px solid var(--border-color, #4e4e4e); padding: 4px 0; }
[data-lingbot="panels"] input, [data-lingbot="panels"] textarea { font: inherit; color: var(--input-text, #ddd);
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px;
  box-sizing: border-box; }
[data-lingbot="panels"] input[type="button"] { cursor: pointer; padding: 3px 8px; margin: 2px 2px 2px 0; }
[data-lingbot="panels"] input[type="button"].head { width: 100%; text-align: left; border: 0; background: none; font-weight: 600; }
[data-lingbot="panels"] input:focus-visible, [data-lingbot="panels"] textarea:focus-visible {
  outline: 2px solid var(--p-primary-color, #6aa8ff); }
[data-lingbot="panels"] .field { display: flex; align-items: center; gap: 6px; margin: 3px 0; }
[data-lingbot="panels"] .field > span { flex: 1; }
[data-lingbot="panels"] .field > input { width: 90px; }
[data-lingbot="panels"] fieldset { border: 0; margin: 4px 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 8px; }
[data-lingbot="panels"] legend { color: var(--descrip-text, #999); padding: 0; }
[data-lingbot="panels"] textarea { width: 100%; height: 130px; resize: vertical; font-family: monospace; white-space: pre; }
[data-lingbot="panels"] .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 4px;
  max-height: 210px; overflow-y: auto; }
[data-lingbot="panels"] .cards label { position: relative; display: flex; flex-direction: column; align-items: center;
  border: 1px solid transparent; border-radius: 4px; cursor: pointer; background: var(--comfy-input-bg, #222); }
[data-lingbot="panels"] .cards label:has(input:checked) { border-color: var(--p-primary-color, #6aa8ff); }
[data-lingbot="panels"] .cards label:has(input:focus-visible) { outline: 2px solid var(--p-primary-color, #6aa8ff); }
[data-lingbot="panels"] .cards input { position: absolute; opacity: 0; }
[data-lingbot="panels"] .note { color: var(--descrip-text, #999); margin: 4px 0; }
[data-lingbot="panels"] .problem { color: var(--error-text, #ff7b7b); margin: 4px 0; overflow-wrap: anywhere; }
[data-lingbot="panels"] .warnings { color: #e0a93b; margin: 4px 0; padding-left: 16px; }
[data-lingbot="panels"] [hidden] { display: none !important; }
`;

let numPanels = 0;

/**
 * The side column of the editor: what is wrong and what to mind, presets, settings of the path, import and
 * export, and the path as text.
 *
 * `getPathText` gives the path as the node will use it, for export; `onMessage(text, level)` shows a passing
 * line elsewhere, level "info" or "error".
 */
export class Panels {
  #model;
  #element;
  #server;
  #getTotalBlocks;
  #getPathText;
  #onMessage;
  #listeners = new AbortController();
  #presets;
  #easing;
  #worldScale;
  #isExact;
  #text;
  #textSection;
  #isTextChanged = false;
  #error = make("div", { className: "problem", role: "alert", hidden: true });
  #errorText = make("p", { className: "problem" });
  #notice = make("p", { className: "problem", role: "alert", hidden: true });
  #warnings = make("ul", { className: "warnings", role: "status", hidden: true });
  #importWarnings = [];
  #sampleWarnings = [];
  #sampleError = "";
  #timer = 0;

  constructor({
    model,
    element,
    server,
    getTotalBlocks = () => 0,
    getSampled = () => null,
    getPathText = () => model.json,
    onMessage = () => {},
  }) {
    this.#model = model;
    this.#element = element;
    this.#server = server;
    this.#getTotalBlocks = getTotalBlocks;
    this.#getPathText = getPathText;
    this.#onMessage = onMessage;
    this.#build(`lingbot-panels-${++numPanels}`);
    this.#listen();
    this.#showModel();
    this.setSampled(getSampled());
  }

  /** Shows the warnings of the server's answer to a sample request; null when there is none. */
  setSampled(sampled) {
    this.#sampleWarnings = sampled?.warnings ?? [];
    this.#sampleError = "";
    this.#showWarnings();
  }

  /** Shows why the path could not be sampled; the text goes with the next `setSampled`. */
  setError(message) {
    this.#sampleError = message;
    this.#showWarnings();
  }

  /**
   * Makes the path of files of other programs, as one undo step.
   *
   * @param {FileList | File[]} files
   * @returns {Promise<boolean>} whether it could be read
   */
  async importFiles(files) {
    const list = [...files];
    if (!list.length) return false;
    const numBytes = list.reduce((sum, { size }) => sum + size, 0);
    if (numBytes > MAX_FILE_BYTES) {
      this.#notify(`These files are too large: ${(numBytes / 2 ** 20).toFixed(0)} MiB. At most 64 MiB can be read.`);
      return false;
    }
    try {
      const { path, format, warnings } = await this.#server.importFiles(list, { isExact: this.#isExact.checked });
      if (this.#listeners.signal.aborted) return false;
      this.#model.load(path, { reason: "import" });
      this.#importWarnings = warnings ?? [];
      this.#showWarnings();
      this.#notify("");
      this.#onMessage(`Read as ${format}: ${this.#model.keyframes.length} keyframes. Undo brings the old path back.`, "info");
      return true;
    } catch (error) {
      this.#notify(error.message);
      return false;
    }
  }

  /** Takes text: a camera path, or the contents of a file of another program. Text that is neither is kept. */
  async importText(text) {
    if (looksForeign(text)) {
      await this.importFiles([new File([text], "pasted.txt", { type: "text/plain" })]);
      return;
    }
    this.#model.setText(text);
  }

  /** Saves the path as a file. */
  async export(format) {
    try {
      if (!this.#model.keyframes.length) throw new PathError("", "There are no keyframes to be saved.");
      const { blob, name } = await this.#server.exportPath(this.#getPathText(), this.#getTotalBlocks(), format);
      saveFile(blob, name);
      this.#notify("");
    } catch (error) {
      this.#notify(error.message);
    }
  }

  dispose() {
    clearTimeout(this.#timer);
    this.#listeners.abort();
    this.#presets.dispose();
    this.#element.replaceChildren();
  }

  // --- set-up ---

  #build(name) {
    this.#element.dataset.lingbot = "panels";
    this.#presets = new PresetPanel({
      model: this.#model,
      server: this.#server,
      getTotalBlocks: this.#getTotalBlocks,
      onMessage: this.#onMessage,
      name,
    });
    this.#textSection = new Section("Path as text", this.#textBody(), { onToggle: () => this.#showText() });
    const isEmpty = !this.#model.keyframes.length && !this.#model.invalid;
    this.#element.replaceChildren(
      make("style", { textContent: STYLE }),
      this.#errorBody(),
      this.#notice,
      this.#warnings,
      new Section("Presets", this.#presets.element, { isOpen: isEmpty }).element,
      new Section("Speed and scale", this.#settingsBody(name), { isOpen: true }).element,
      new Section("Import and export", this.#filesBody()).element,
      this.#textSection.element,
    );
  }

  #errorBody() {
    const edit = pushButton("Correct the text", "Shows the text below", () => {
      this.#textSection.toggle(true);
      this.#text.focus();
    });
    const discard = pushButton("Discard the text", "Goes back to the last valid path", () => this.#model.discardInvalid());
    this.#error.append(this.#errorText, edit, discard);
    return this.#error;
  }

  #settingsBody(name) {
    this.#easing = choice("Start and stop", `${name}-easing`, EASINGS, (value) =>
      this.#model.attempt(() => this.#model.setEasing(value)),
    );
    this.#worldScale = make("input", {
      type: "number",
      step: "any",
      min: 1e-6,
      max: 1e6,
      placeholder: DEFAULT_WORLD_SCALE.toFixed(3),
      onchange: () => this.#setWorldScale(),
    });
    const title = "Length that the model sees as 1: larger makes the same path a smaller movement. Empty: the usual one.";
    const note = make("p", {
      className: "note",
      textContent: "Where the node's own easing is not linear, or its world scale not 0, the node's holds.",
    });
    return make("div", {}, this.#easing.element, labelled("World scale", this.#worldScale, title), note);
  }

  #filesBody() {
    const picker = make("input", {
      type: "file",
      multiple: true,
      accept: ".npy,.txt,.json,.zip",
      onchange: async () => {
        await this.importFiles(picker.files);
        picker.value = "";
      },
    });
    picker.style.width = "100%";
    const hint = make("p", {
      className: "note",
      textContent:
        "Or drop files on the editor, or paste them: poses.npy and intrinsics.npy, COLMAP's images.txt, nerfstudio's " +
        "transforms.json, cameras of ComfyUI's 3D viewer, or camera-path JSON.",
    });
    this.#isExact = make("input", { type: "checkbox" });
    const exactly = make("label", { title: "Otherwise as few keyframes as follow the poses closely" }, this.#isExact, "Every pose a keyframe");
    const buttons = EXPORTS.map(([format, label, title]) => pushButton(label, title, () => this.export(format)));
    const exports = make("div", { role: "group", "aria-label": "Save the path as" }, "Save as ", ...buttons);
    return make("div", {}, make("label", {}, "Open files ", picker), exactly, hint, exports);
  }

  #textBody() {
    this.#text = make("textarea", { spellcheck: false, "aria-label": "Path as JSON text" });
    this.#text.addEventListener("input", () => (this.#isTextChanged = true));
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#applyText();
      event.stopPropagation();
    });
    const apply = pushButton("Apply text", "Ctrl+Enter", () => this.#applyText());
    const reset = pushButton("Reset text", "Shows the path as it is", () => {
      this.#isTextChanged = false;
      this.#showText();
    });
    return make("div", {}, this.#text, apply, reset);
  }

  #listen() {
    const { signal } = this.#listeners;
    this.#model.addEventListener("change", (event) => this.#onChange(event.detail), { signal });
    this.#model.addEventListener("refused", (event) => this.#notify(event.detail.message), { signal });
  }

  // --- showing ---

  #onChange({ dragging, reason }) {
    if (dragging) return;
    if (reason !== "import") this.#importWarnings = [];
    this.#notify("");
    this.#showModel();
  }

  #showModel() {
    const { invalid, easing, settings } = this.#model;
    this.#error.hidden = !invalid;
    this.#errorText.textContent = invalid ? `The text of the path is not used: ${invalid.message}` : "";
    this.#easing.value = easing;
    if (document.activeElement !== this.#worldScale) this.#worldScale.value = settings.worldScale ?? "";
    this.#showText();
    this.#showWarnings();
  }

  #showText() {
    if (!this.#textSection?.isOpen || this.#isTextChanged) return;
    if (this.#text.value !== this.#model.text) this.#text.value = this.#model.text;
  }

  #showWarnings() {
    const lines = [this.#sampleError, ...this.#importWarnings, ...this.#sampleWarnings].filter(Boolean);
    this.#warnings.hidden = !lines.length;
    this.#warnings.replaceChildren(...lines.map((textContent) => make("li", { textContent })));
  }

  /** A passing complaint, here and where the shell shows messages. */
  #notify(message) {
    clearTimeout(this.#timer);
    this.#notice.textContent = message;
    this.#notice.hidden = !message;
    if (!message) return;
    this.#onMessage(message, "error");
    this.#timer = setTimeout(() => this.#notify(""), REFUSAL_MS);
  }

  // --- changing ---

  #setWorldScale() {
    const { value, validity } = this.#worldScale;
    const worldScale = validity.badInput ? NaN : value === "" ? null : Number(value);
    this.#model.attempt(() => this.#model.setWorldScale(worldScale));
  }

  async #applyText() {
    this.#isTextChanged = false;
    await this.importText(this.#text.value);
  }
}

/** Whether text is a file of another program: JSON of another kind, or lines that are no JSON at all. */
export function looksForeign(text) {
  const start = text.trimStart();
  if (!start || start.startsWith("{'")) return false;
  if (!start.startsWith("{") && !start.startsWith("[")) return /^(#|\d)/.test(start) && start.includes("\n");
  try {
    const value = JSON.parse(text);
    return Array.isArray(value) || (!("keyframes" in value) && !("format" in value));
  } catch {
    return false;
  }
}
