// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { OrbitControls } from "../vendor/three.mjs";

/**
 * Orbit, pan and zoom. three.js listens on the document while the pointer is down, where ComfyUI's Vue nodes
 * let no pointer events arrive; the canvas, which has captured the pointer, gets them in both renderers.
 */
export function orbitControls(camera, canvas) {
  const orbit = new OrbitControls(camera, canvas);
  orbit.zoomToCursor = true;
  const handlers = { pointermove: orbit._onPointerMove, pointerup: orbit._onPointerUp };
  const move = (from, to) => {
    for (const [name, handler] of Object.entries(handlers)) {
      from?.removeEventListener(name, handler);
      to?.addEventListener(name, handler);
    }
  };
  canvas.addEventListener("pointerdown", () => move(canvas.ownerDocument, canvas));
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => setTimeout(() => move(canvas, null)));
  return orbit;
}
