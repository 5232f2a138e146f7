// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** What the node shows of the editor: a button with a summary, and the editor itself once it has been opened. */

const CLOSED_HEIGHT = 54; // the classic renderer keeps a margin of 10 above and below
const OPEN_HEIGHT = 520;
const OPEN_WIDTH = 640;
const JSON_HEIGHT = 68;
const PATH_WIDGET = "keyframes";
const PRESET_WIDGET = "preset";
const KEYFRAMES_PRESET = "keyframes";

export function addEditorWidget(host) {
  new EditorWidget(host);
}

class EditorWidget {
  #host;
  #root = document.createElement("div");
  #bar = document.createElement("div");
  #stage = document.createElement("div");
  #button = document.createElement("input");
  #summary = document.createElement("span");
  #model = null;
  #editor = null;
  #isOpen = false;
  #closedWidth = 0;

  constructor(host) {
    this.#host = host;
    this.#build();
    host.addElement("camera_path_editor", this.#root, () =>
      this.#isOpen ? { min: OPEN_HEIGHT } : { min: CLOSED_HEIGHT, max: CLOSED_HEIGHT },
    );
    host.limitHeight(PATH_WIDGET, JSON_HEIGHT);
    host.onValue(PATH_WIDGET, () => this.#read());
    host.onConfigured(() => this.#read({ reset: true }));
    host.onRemoved(() => this.#dispose());
    this.#summarise();
  }

  #build() {
    this.#root.dataset.lingbot = "camera-editor";
    /** For tests and the console: the editor that has been opened, or null. */
    this.#root.lingbotEditor = null;
    this.#root.style.cssText =
      "display:flex;flex-direction:column;width:100%;height:100%;min-height:0;box-sizing:border-box;overflow:hidden;gap:4px";
    this.#bar.style.cssText = "display:flex;align-items:center;gap:8px;flex:none;height:30px";
    this.#stage.style.cssText = "display:none;flex:1;min-height:0;position:relative";
    this.#button.type = "button";
    this.#button.value = "Edit path";
    this.#button.title = "Draw, fly and correct the camera path";
    this.#button.style.cssText =
      "height:28px;padding:0 14px;border-radius:6px;cursor:pointer;font:inherit;font-size:12px;" +
      "border:1px solid var(--border-color,#4e4e4e);background:var(--comfy-input-bg,#222);color:var(--input-text,#ddd)";
    this.#summary.style.cssText =
      "flex:1;font-size:12px;color:var(--descrip-text,#999);overflow:hidden;text-overflow:ellipsis;white-space:nowrap";
    // whoever points at the button is about to open the editor
    this.#button.addEventListener("pointerenter", () => loadParts().catch(() => {}), { once: true });
    this.#button.addEventListener("click", () => (this.#isOpen ? this.#close() : this.#open()));
    this.#bar.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.#bar.append(this.#button, this.#summary);
    this.#root.append(this.#bar, this.#stage);
  }

  async #open() {
    const host = this.#host;
    this.#isOpen = true;
    this.#button.value = "Close editor";
    this.#stage.style.display = "block";
    this.#root.style.minHeight = `${OPEN_HEIGHT}px`;
    this.#closedWidth = host.size[0];
    host.resize(Math.max(host.size[0], OPEN_WIDTH), host.size[1]);
    if (this.#editor) {
      this.#editor.resize();
      this.#editor.focus();
      return;
    }
    try {
      const [{ openEditor }, { PathModel }, { Server }] = await loadParts();
      if (this.#model || !this.#isOpen) return;
      this.#model = new PathModel(String(host.value(PATH_WIDGET) ?? ""));
      this.#model.addEventListener("change", (event) => this.#write(event.detail));
      this.#editor = await openEditor({
        element: this.#stage,
        model: this.#model,
        server: new Server(host),
        host,
        getPhotoUrl: () => host.photoUrl(),
        getTotalBlocks: () => Number(host.value("total_blocks")) || 0,
      });
      this.#root.lingbotEditor = this.#editor;
      this.#editor.focus();
    } catch (error) {
      this.#model = null;
      this.#close();
      this.#summary.textContent = `The editor cannot be opened: ${error.message}`;
      throw error;
    }
  }

  #close() {
    this.#isOpen = false;
    this.#editor?.rest();
    this.#button.value = "Edit path";
    this.#stage.style.display = "none";
    this.#root.style.minHeight = "0";
    const [, height] = this.#host.size;
    this.#host.resize(this.#closedWidth, height - (OPEN_HEIGHT - CLOSED_HEIGHT));
    this.#summarise();
  }

  /** From the editor into the node. */
  #write({ dragging } = {}) {
    if (dragging) return;
    const host = this.#host;
    const { text } = this.#model;
    if (text !== host.value(PATH_WIDGET)) {
      host.setValue(PATH_WIDGET, text);
      if (text) host.setValue(PRESET_WIDGET, KEYFRAMES_PRESET);
      host.markChanged();
    }
    this.#summarise();
  }

  /** From the node into the editor. */
  #read(options) {
    this.#model?.setText(String(this.#host.value(PATH_WIDGET) ?? ""), options);
    this.#summarise();
  }

  #summarise() {
    const text = String(this.#host.value(PATH_WIDGET) ?? "").trim();
    this.#summary.textContent = text ? describePath(text) : "Nothing drawn yet.";
  }

  #dispose() {
    this.#editor?.dispose();
    this.#editor = this.#root.lingbotEditor = null;
  }
}

/** The editor's modules, three.js among them. */
function loadParts() {
  return Promise.all([import("./editor.mjs"), import("./path_model.mjs"), import("./server.mjs")]);
}

/** A path's text in a few words. */
export function describePath(text) {
  try {
    const { keyframes, name } = JSON.parse(text);
    const seconds = Math.max(0, ...keyframes.map((keyframe) => keyframe.time_sec));
    const count = `${keyframes.length} keyframe${keyframes.length === 1 ? "" : "s"}`;
    return `${name ? `${name}: ` : ""}${count}, ${seconds.toFixed(2)} s`;
  } catch {
    return "The text of the path is not valid; open the editor to see where.";
  }
}
