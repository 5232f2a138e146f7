// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { Vector3 } from "../vendor/three.mjs";
import { cvToGlPosition, glToCvPosition } from "./axes.mjs";
import { groundOf } from "./geometry.mjs";

const PICK_PIXELS = 14;
const CLICK_PIXELS = 4;
const DIGITS = 6;
/** Places near the horizon are a slip of the hand: at most so much of the far plane's distance counts. */
const REACH = 0.005;

/** What a click in the view means: the keyframe under it, or the place on the ground. Drags belong to others. */
export class ViewPointer {
  #canvas;
  #camera;
  #model;

  /** `isFree()`: whether a press is no one else's; `onClick(event)` for a click. */
  constructor({ canvas, camera, model, isFree, onClick, signal }) {
    this.#canvas = canvas;
    this.#camera = camera;
    this.#model = model;
    let start = null;
    canvas.addEventListener("pointerdown", (event) => {
      start = event.button === 0 && isFree() ? [event.clientX, event.clientY] : null;
    }, { signal });
    canvas.addEventListener("pointerup", (event) => {
      const isClick = start && Math.hypot(event.clientX - start[0], event.clientY - start[1]) <= CLICK_PIXELS;
      start = null;
      if (isClick) onClick(event);
    }, { signal });
  }

  /** Where a point of the path is, in pixels of the page, or null when it is behind the viewer. */
  screenPosition(position) {
    const point = new Vector3(...cvToGlPosition(position)).project(this.#camera);
    if (point.z > 1) return null;
    const box = this.#canvas.getBoundingClientRect();
    return [box.left + ((point.x + 1) / 2) * box.width, box.top + ((1 - point.y) / 2) * box.height];
  }

  /** Id of the keyframe under the pointer, or null. */
  keyframeAt(event) {
    let [best, bestDistance] = [null, PICK_PIXELS];
    for (const { id, position } of this.#model.keyframes) {
      const place = this.screenPosition(position);
      const distance = place ? Math.hypot(place[0] - event.clientX, place[1] - event.clientY) : Infinity;
      if (distance < bestDistance) [best, bestDistance] = [id, distance];
    }
    return best;
  }

  /** The point over the ground under the pointer, as high as the last keyframe, OpenCV axes; null for the sky. */
  placeAt(event) {
    const box = this.#canvas.getBoundingClientRect();
    const right = ((event.clientX - box.left) / box.width) * 2 - 1;
    const up = 1 - ((event.clientY - box.top) / box.height) * 2;
    const from = this.#camera.position;
    const direction = new Vector3(right, up, 0.5).unproject(this.#camera).sub(from).normalize();
    const distance = (-groundOf(this.#model) - from.y) / direction.y;
    if (!(distance > 0) || distance > REACH * this.#camera.far) return null;
    const [x, , z] = glToCvPosition(from.clone().addScaledVector(direction, distance).toArray());
    const y = this.#model.keyframes.at(-1)?.position[1] ?? 0;
    return this.#model.snapPosition([x, y, z]).map((value) => Number(value.toPrecision(DIGITS)));
  }
}
