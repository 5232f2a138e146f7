// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** The only file that touches ComfyUI's own objects: the app, its API and the graph's nodes. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const MAX_LINKS = 64;

export function registerExtension(extension) {
  app.registerExtension(extension);
}

/** A node of the graph as the editor sees it: values by name, one element inside it, the photo it belongs to. */
export class NodeHost {
  constructor(node) {
    this.node = node;
  }

  /** Whether the node still is in a graph. */
  get isAlive() {
    return Boolean(this.node.graph);
  }

  /** Value of the widget of this name; undefined without one. */
  value(name) {
    return this.#widget(name)?.value;
  }

  setValue(name, value) {
    const widget = this.#widget(name);
    if (!widget || widget.value === value) return;
    widget.value = value;
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Call `listener(value)` when the user changes the widget of this name. */
  onValue(name, listener) {
    const widget = this.#widget(name);
    if (!widget) return;
    const callback = widget.callback;
    widget.callback = function (value, ...rest) {
      const result = callback?.call(this, value, ...rest);
      listener(value);
      return result;
    };
  }

  /** Call `listener()` when the node has got its values from a workflow. */
  onConfigured(listener) {
    this.#after("onConfigure", listener);
  }

  /** Call `listener()` when the node is removed. */
  onRemoved(listener) {
    this.#after("onRemoved", listener);
  }

  /** Tell the graph that a value has changed for good, so that it is saved and can be undone there. */
  markChanged() {
    const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
  }

  /**
   * Show an element in the node, above nothing that is saved: it is no part of the workflow or the prompt.
   * `heights()` gives {min, max} in pixels; max may be undefined.
   */
  addElement(name, element, heights) {
    const widget = this.node.addDOMWidget(name, "lingbot_editor", element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => heights().min,
      getMaxHeight: () => heights().max,
      getValue: () => "",
      setValue: () => {},
    });
    widget.serialize = false;
  }

  /** Call `listener()` whenever a run has ended, well or not, until the signal is aborted. */
  onRunEnded(listener, signal) {
    for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(name, listener, { signal });
    }
  }

  /** Keep a multi-line widget of the node from growing. */
  limitHeight(name, height) {
    const options = this.#widget(name)?.options;
    if (!options) return;
    options.getMinHeight = () => height;
    options.getMaxHeight = () => height;
  }

  get size() {
    return [this.node.size[0], this.node.size[1]];
  }

  /** Make the node so large, or as large as its contents need. */
  resize(width, height) {
    const [minWidth, minHeight] = this.node.computeSize();
    this.node.setSize([Math.max(width, minWidth), Math.max(height, minHeight)]);
    this.node.setDirtyCanvas?.(true, true);
  }

  /** Address of the photo that is filmed with this camera; empty when it is not known yet. */
  photoUrl() {
    const reader = this.#readers(this.node).find((node) => node.inputs?.some((input) => input.name === "image"));
    const slot = reader?.inputs.findIndex((input) => input.name === "image") ?? -1;
    return slot < 0 ? "" : this.#pictureOf(this.#source(reader, slot));
  }

  /** Fetch one of the server's routes. */
  fetch(route, options) {
    return api.fetchApi(route, options);
  }

  #widget(name) {
    return this.node.widgets?.find((widget) => widget.name === name);
  }

  #after(method, listener) {
    const original = this.node[method];
    this.node[method] = function (...args) {
      const result = original?.apply(this, args);
      listener();
      return result;
    };
  }

  /** Nodes that get something of this one, the nearest first. */
  #readers(node) {
    const found = [];
    const waiting = [node];
    while (waiting.length && found.length < MAX_LINKS) {
      const current = waiting.shift();
      for (const id of (current.outputs ?? []).flatMap((output) => output.links ?? [])) {
        const reader = this.node.graph?.getNodeById(this.#link(id)?.target_id);
        if (reader && !found.includes(reader)) {
          found.push(reader);
          waiting.push(reader);
        }
      }
    }
    return found;
  }

  /** The node that makes what a socket gets; nodes with one picture in and one out are looked through. */
  #source(node, slot) {
    let source = this.#origin(node, slot);
    for (let count = 0; source && count < MAX_LINKS && !this.#pictureOf(source); count += 1) {
      const next = source.inputs?.findIndex((input) => input.type === "IMAGE" && input.link != null) ?? -1;
      if (next < 0) break;
      source = this.#origin(source, next);
    }
    return source;
  }

  #origin(node, slot) {
    const link = node.inputs?.[slot]?.link;
    return link == null ? null : this.node.graph?.getNodeById(this.#link(link)?.origin_id);
  }

  #link(id) {
    const links = this.node.graph?.links;
    return links?.get?.(id) ?? links?.[id];
  }

  /** Address of the input file that a node loads, or of the picture that it shows. */
  #pictureOf(node) {
    if (!node) return "";
    const name = node.widgets?.find((widget) => widget.name === "image")?.value;
    if (typeof name === "string" && name) {
      const [, path, type] = /^(.*?)(?: \[(\w+)\])?$/.exec(name);
      const split = path.lastIndexOf("/");
      const query = { filename: path.slice(split + 1), subfolder: path.slice(0, Math.max(split, 0)), type: type ?? "input" };
      return api.apiURL(`/view?${new URLSearchParams(query)}`);
    }
    return node.imgs?.[0]?.src ?? "";
  }
}
