// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { Object3D, TransformControls } from "../vendor/three.mjs";
import { cvToGlPosition, cvToGlRotation, glToCvPosition, glToCvRotation, multiplied, normalised } from "./axes.mjs";

const SIZE = 0.75;

/**
 * Arrows and rings on the selected keyframe. With several selected it sits on the first of them: all are
 * shifted alike, and each turns about its own place. One drag is one undo step.
 *
 * Event: "change" when it has to be drawn again.
 */
export class Gizmo extends EventTarget {
  #controls;
  #helper;
  #model;
  #handle = new Object3D();
  #start = null;
  #isHidden = false;

  constructor({ camera, canvas, scene, model, orbit }) {
    super();
    this.#model = model;
    this.#controls = new TransformControls(camera, canvas);
    this.#controls.size = SIZE;
    this.#controls.setSpace("world");
    this.#helper = this.#controls.getHelper();
    scene.add(this.#handle, this.#helper);
    this.#controls.addEventListener("change", () => this.dispatchEvent(new CustomEvent("change")));
    this.#controls.addEventListener("dragging-changed", ({ value }) => {
      orbit.enabled = !value;
      if (value) this.#begin();
      else this.#end();
    });
    this.#controls.addEventListener("objectChange", () => this.#drag());
  }

  /** "translate" or "rotate". */
  set mode(mode) {
    this.#controls.setMode(mode);
    this.#controls.setSpace(mode === "rotate" ? "local" : "world");
  }

  get mode() {
    return this.#controls.mode;
  }

  /** Whether the pointer is on one of its parts. */
  get isHovered() {
    return Boolean(this.#controls.object && this.#controls.axis);
  }

  set isHidden(isHidden) {
    this.#isHidden = isHidden;
    this.#controls.enabled = !isHidden;
    this.#helper.visible = !isHidden && Boolean(this.#controls.object);
  }

  /** Follow the model's selection and snapping. */
  update() {
    const { snap } = this.#model;
    this.#controls.setTranslationSnap(snap.enabled ? snap.grid : null);
    this.#controls.setRotationSnap(snap.enabled ? (snap.angleDeg * Math.PI) / 180 : null);
    if (this.#start) return;
    const first = this.#selected()[0];
    if (first) {
      this.#handle.position.set(...cvToGlPosition(first.position));
      this.#handle.quaternion.set(...cvToGlRotation(first.rotation));
      this.#handle.updateMatrixWorld();
      if (!this.#controls.object) this.#controls.attach(this.#handle);
      this.isHidden = this.#isHidden; // attaching shows it
    } else if (this.#controls.object) {
      this.#controls.detach();
    }
  }

  dispose() {
    this.#controls.detach();
    this.#controls.dispose();
  }

  #selected() {
    const { selection, keyframes } = this.#model;
    return selection.size ? keyframes.filter(({ id }) => selection.has(id)) : [];
  }

  #begin() {
    this.#start = this.#selected();
    this.#model.begin(this.mode === "rotate" ? "turn" : "move");
  }

  #end() {
    if (!this.#start) return;
    this.#start = null;
    this.#model.commit();
    this.update();
  }

  #drag() {
    if (!this.#start?.length) return;
    const [first] = this.#start;
    if (this.mode === "rotate") {
      const rotation = glToCvRotation(this.#handle.quaternion.toArray());
      const turn = multiplied(inverse(first.rotation), rotation); // in each camera's own axes
      this.#move(this.#start.map(({ id, rotation: from }) => ({ id, rotation: normalised(multiplied(from, turn)) })));
    } else {
      const position = glToCvPosition(this.#handle.position.toArray());
      const shift = position.map((value, axis) => value - first.position[axis]);
      this.#move(this.#start.map(({ id, position: from }) => ({ id, position: from.map((value, i) => value + shift[i]) })));
    }
  }

  #move(poses) {
    this.#model.attempt(() => this.#model.moveMany(poses));
  }
}

function inverse([x, y, z, w]) {
  return [-x, -y, -z, w];
}
