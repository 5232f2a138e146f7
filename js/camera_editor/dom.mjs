// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Making elements. Controls are inputs and textareas only: with the focus on anything else the host takes
 * keys such as w, Delete or Ctrl+Z for its own shortcuts.
 */

/**
 * An element with properties and children. Keys of `properties` with a dash are attributes; the rest are
 * set as they are, and functions named onclick and so on listen.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

export function pushButton(value, title, onclick) {
  return make("input", { type: "button", value, title, onclick });
}

/** A labelled field: [label text | field]. */
export function labelled(text, field, title = "") {
  return make("label", { className: "field", title }, make("span", { textContent: text }), field);
}

/**
 * One choice of several as radio buttons.
 *
 * @returns {{element: HTMLElement, value: string}} `value` can be read and set
 */
export function choice(legend, name, options, onChange) {
  const inputs = options.map((value) =>
    make("input", { type: "radio", name, value, onchange: () => onChange(value) }),
  );
  const labels = inputs.map((input) => make("label", {}, input, input.value));
  const element = make("fieldset", {}, make("legend", { textContent: legend }), ...labels);
  return {
    element,
    get value() {
      return inputs.find((input) => input.checked)?.value ?? options[0];
    },
    set value(value) {
      for (const input of inputs) input.checked = input.value === value;
    },
  };
}

/** A heading that opens and closes what is below it. */
export class Section {
  #head;
  #onToggle;

  constructor(title, body, { isOpen = false, onToggle = () => {} } = {}) {
    this.title = title;
    this.body = body;
    this.#onToggle = onToggle;
    this.#head = pushButton(title, "", () => this.toggle(!this.isOpen));
    this.#head.className = "head";
    this.element = make("section", {}, this.#head, body);
    this.toggle(isOpen);
  }

  get isOpen() {
    return !this.body.hidden;
  }

  toggle(isOpen) {
    this.body.hidden = !isOpen;
    this.#head.value = `${isOpen ? "▾" : "▸"} ${this.title}`;
    this.#head.setAttribute("aria-expanded", String(isOpen));
    this.#onToggle(isOpen);
  }
}

/** Offers a file to be saved. */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
