// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { BufferAttribute, BufferGeometry, LineBasicMaterial, LineSegments } from "../vendor/three.mjs";
import { cvToGlPosition, cvToGlRotation } from "./axes.mjs";
import { FRAME_HEIGHT, FRAME_WIDTH } from "./geometry.mjs";

/**
 * Make a three.js camera see exactly what a camera of the path sees; a picture that is wider or higher than
 * the video shows more at its sides.
 *
 * @param camera three.js camera
 * @param {{position, rotation, zoom, intrinsics}} pose OpenCV axes
 * @param {number} near distance from which on things are seen
 * @param {number} aspect width of the picture over its height
 */
export function aimLens(camera, { position, rotation, zoom, intrinsics: [fx, fy, cx, cy] }, near, aspect) {
  const extraX = (FRAME_WIDTH * (Math.max(1, (aspect * FRAME_HEIGHT) / FRAME_WIDTH) - 1)) / 2;
  const extraY = (FRAME_HEIGHT * (Math.max(1, FRAME_WIDTH / (aspect * FRAME_HEIGHT)) - 1)) / 2;
  const side = (pixels, focal) => (pixels / (focal * zoom)) * near;
  camera.projectionMatrix.makePerspective(
    side(-cx - extraX, fx),
    side(FRAME_WIDTH - cx + extraX, fx),
    side(cy + extraY, fy),
    side(cy - FRAME_HEIGHT - extraY, fy),
    near,
    near * 1e5,
  );
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  camera.position.set(...cvToGlPosition(position));
  camera.quaternion.set(...cvToGlRotation(rotation));
  camera.updateMatrixWorld();
}

/** Line segments without any points yet; a colour per point unless one is given for all. */
export function lineSegments(color) {
  const material = color === undefined ? new LineBasicMaterial({ vertexColors: true }) : new LineBasicMaterial({ color });
  const object = new LineSegments(new BufferGeometry(), material);
  object.frustumCulled = false;
  return object;
}

/** Give a geometry other points; its buffers are kept while they are of the right size. */
export function fill(geometry, positions, colors) {
  for (const [name, values] of [["position", positions], ["color", colors]]) {
    if (!values) continue;
    const attribute = geometry.getAttribute(name);
    if (attribute?.array.length === values.length && values.length) {
      attribute.array.set(values);
      attribute.needsUpdate = true;
    } else {
      geometry.dispose();
      geometry.setAttribute(name, new BufferAttribute(values, 3));
    }
  }
}
