// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { choice, labelled, make, pushButton } from "./dom.mjs";
import { EASINGS, parsePath } from "./path_json.mjs";
import { CARD_HEIGHT, CARD_WIDTH, PresetPicture } from "./preset_cards.mjs";

const PICTURE_CHUNKS = 8;
const PICTURE_DELAY_MS = 300;

/** Presets as moving cards, the chosen one's parameters, and a button that makes the path of it. */
export class PresetPanel {
  #model;
  #server;
  #getTotalBlocks;
  #onMessage;
  #name;
  #cards = make("div", { className: "cards", role: "radiogroup", "aria-label": "Preset" });
  #description = make("p", { className: "note" });
  #parameters = make("div");
  #problem = make("p", { className: "problem", role: "alert", hidden: true });
  #button;
  #pictures = new Map();
  #chosen = null;
  #fields = new Map();
  #easing = null;
  #timer = 0;
  #seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#load());
  #isLoading = false;
  #isDisposed = false;

  constructor({ model, server, getTotalBlocks, onMessage, name }) {
    this.#model = model;
    this.#server = server;
    this.#getTotalBlocks = getTotalBlocks;
    this.#onMessage = onMessage;
    this.#name = name;
    this.#button = pushButton("Use this preset", "Replaces the path; undo brings it back", () => this.#use());
    this.#button.hidden = true;
    this.element = make("div", {}, this.#cards, this.#description, this.#parameters, this.#problem, this.#button);
    this.#seen.observe(this.element);
  }

  /** Asks for the presets, when they are first looked at. */
  async #load() {
    if (this.#isLoading || this.#pictures.size) return;
    this.#isLoading = true;
    this.#cards.textContent = "Loading presets…";
    try {
      const presets = await this.#server.presets();
      this.#cards.replaceChildren(...presets.map((preset) => this.#card(preset)));
      this.#choose(presets[0]);
      for (const { name } of presets) {
        if (this.#isDisposed) return;
        await this.#picture(name, {});
      }
    } catch (error) {
      if (!this.#pictures.size) this.#cards.textContent = "";
      this.#showProblem(error.message);
    } finally {
      this.#isLoading = false;
    }
  }

  dispose() {
    this.#isDisposed = true;
    this.#seen.disconnect();
    clearTimeout(this.#timer);
    for (const { picture } of this.#pictures.values()) picture.stop();
  }

  #card(preset) {
    const canvas = make("canvas", { "aria-hidden": "true" });
    canvas.style.cssText = `width:${CARD_WIDTH}px;height:${CARD_HEIGHT}px`;
    const radio = make("input", {
      type: "radio",
      name: `${this.#name}-preset`,
      value: preset.name,
      onchange: () => this.#choose(preset),
    });
    const picture = new PresetPicture(canvas);
    const card = make("label", { title: preset.description }, radio, canvas, make("span", { textContent: preset.name }));
    card.addEventListener("pointerenter", () => picture.play());
    card.addEventListener("pointerleave", () => picture.stop());
    radio.addEventListener("focus", () => picture.play());
    radio.addEventListener("blur", () => picture.stop());
    this.#pictures.set(preset.name, { picture, radio });
    return card;
  }

  #choose(preset) {
    this.#chosen = preset;
    this.#pictures.get(preset.name).radio.checked = true;
    this.#description.textContent = preset.description;
    this.#fields.clear();
    const rows = preset.parameters.map((parameter) => this.#parameterRow(parameter));
    this.#easing = choice("Start and stop", `${this.#name}-preset-easing`, preset.easings ?? EASINGS, () => this.#changed());
    this.#easing.value = EASINGS[0];
    this.#parameters.replaceChildren(...rows, this.#easing.element);
    this.#button.hidden = false;
    this.#showProblem("");
  }

  #parameterRow({ name, default: usual, unit, minimum, maximum }) {
    const field = make("input", {
      type: "number",
      step: "any",
      min: minimum,
      max: maximum,
      value: String(usual),
      oninput: () => this.#changed(),
    });
    this.#fields.set(name, { field, usual });
    return labelled(name.replaceAll("_", " "), field, `${minimum} to ${maximum} ${unit}; usually ${usual}`);
  }

  /** Only what differs from the default, as the server's words for a mistake are then about that. */
  #options() {
    const options = {};
    for (const [name, { field, usual }] of this.#fields) {
      if (field.value === "" && !field.validity.badInput) continue;
      const value = field.validity.badInput ? "not a number" : Number(field.value);
      if (value !== usual) options[name] = value;
    }
    if (this.#easing.value !== EASINGS[0]) options.easing = this.#easing.value;
    return options;
  }

  #changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      try {
        await this.#picture(this.#chosen.name, this.#options());
        this.#showProblem("");
      } catch (error) {
        this.#showProblem(error.message);
      }
    }, PICTURE_DELAY_MS);
  }

  async #picture(name, options) {
    const { keyframes } = parsePath(await this.#server.preset(name, PICTURE_CHUNKS, options));
    if (!this.#isDisposed) this.#pictures.get(name).picture.show(keyframes);
  }

  async #use() {
    const { name } = this.#chosen;
    try {
      const text = await this.#server.preset(name, this.#getTotalBlocks() || PICTURE_CHUNKS, this.#options());
      if (this.#isDisposed) return;
      this.#model.load(text, { reason: "preset" });
      this.#showProblem("");
      this.#onMessage(`The path is now the preset ${name}. Undo brings the other one back.`, "info");
    } catch (error) {
      this.#showProblem(error.message);
    }
  }

  #showProblem(message) {
    this.#problem.textContent = message;
    this.#problem.hidden = !message;
  }
}
