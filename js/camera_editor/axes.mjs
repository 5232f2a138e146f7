// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * Between the axes of a camera path and those of three.js.
 *
 *   path (OpenCV):      x right, y down, z forward; quaternions x, y, z, w; camera-to-world
 *   three.js (OpenGL):  x right, y up, z backward
 *
 * World and camera turn together by F = diag(1, -1, -1): p' = F p and R' = F R F. F undoes itself, so
 * each function is its own inverse; the two names only say which way is meant. Negated zeros are made
 * plain zeros, so that what comes back is written as it was.
 *
 * Matrices are 16 numbers in rows (as NumPy prints them). three.js keeps columns: see `transposed`.
 */

/** A point or a direction: [x, y, z] -> [x, -y, -z]. */
export function cvToGlPosition([x, y, z]) {
  return [x, flipped(y), flipped(z)];
}

/** The quaternion x, y, z, w of R' = F R F. */
export function cvToGlRotation([x, y, z, w]) {
  return [x, flipped(y), flipped(z), w];
}

/** A pose {position: [3], rotation: [4]}; what else it has is kept. */
export function cvToGl(pose) {
  return { ...pose, position: cvToGlPosition(pose.position), rotation: cvToGlRotation(pose.rotation) };
}

/** F M F of a 4x4 pose in rows: entries change sign where exactly one of row and column is y or z. */
export function cvToGlMatrix(rows) {
  return rows.map((value, i) => (flips(i >> 2) !== flips(i & 3) ? flipped(value) : value));
}

export const glToCvPosition = cvToGlPosition;
export const glToCvRotation = cvToGlRotation;
export const glToCv = cvToGl;
export const glToCvMatrix = cvToGlMatrix;

/** 16 numbers in rows as 16 in columns, and back. */
export function transposed(matrix) {
  return matrix.map((_, i) => matrix[(i & 3) * 4 + (i >> 2)]);
}

/** The 4x4 matrix, in rows, of a pose. */
export function matrixOfPose({ position: [px, py, pz], rotation: [x, y, z, w] }) {
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), px,
    2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), py,
    2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), pz,
    0, 0, 0, 1,
  ];
}

/** A vector turned by a unit quaternion. */
export function turned([x, y, z], [qx, qy, qz, qw]) {
  const tx = 2 * (qy * z - qz * y);
  const ty = 2 * (qz * x - qx * z);
  const tz = 2 * (qx * y - qy * x);
  return [x + qw * tx + qy * tz - qz * ty, y + qw * ty + qz * tx - qx * tz, z + qw * tz + qx * ty - qy * tx];
}

/** Product of quaternions: first `b`, then `a`. */
export function multiplied([ax, ay, az, aw], [bx, by, bz, bw]) {
  return [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
}

/** The quaternion of length 1 in the same direction. */
export function normalised(quaternion) {
  const length = Math.hypot(...quaternion);
  return quaternion.map((component) => component / length);
}

/** The rotation a share of the way from one unit quaternion to another, the short way round. */
export function slerp(from, to, share) {
  let cosine = from[0] * to[0] + from[1] * to[1] + from[2] * to[2] + from[3] * to[3];
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, Math.abs(cosine));
  const angle = Math.acos(cosine);
  const near = angle < 1e-6;
  const a = near ? 1 - share : Math.sin((1 - share) * angle) / Math.sin(angle);
  const b = sign * (near ? share : Math.sin(share * angle) / Math.sin(angle));
  return normalised(from.map((component, i) => a * component + b * to[i]));
}

function flips(axis) {
  return axis === 1 || axis === 2;
}

function flipped(value) {
  return 0 - value; // no negative zero
}
