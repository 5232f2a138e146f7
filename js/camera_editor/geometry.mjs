// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * What the 3D view draws, as lists of numbers: no DOM and no three.js. Poses come in OpenCV axes, points
 * go out in those of three.js. All frusta share one list and so do all chunks, so that the number of draw
 * calls does not grow with the path.
 */
import { cvToGlPosition, turned } from "./axes.mjs";

export const FRAME_WIDTH = 832;
export const FRAME_HEIGHT = 480;

/** Ends of each frustum's lines: apex (0), corners of the image (1 to 4), top of the roof (5), the ground below (6). */
const FRUSTUM_LINES = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1, 1, 5, 5, 2, 0, 6];
export const FRUSTUM_POINTS = FRUSTUM_LINES.length;

/** How far below the first keyframe the ground is drawn, in world scales. Nothing but the drawing knows of a ground. */
const CAMERA_HEIGHT = 0.6;

/** Linear, as three.js takes them. */
const COLORS = {
  keyframe: linear(0x6b9eff),
  selected: linear(0xffa940),
  green: linear(0x52c76b),
  amber: linear(0xf2b333),
  red: linear(0xf25247),
  unknown: linear(0x8c919e),
  tick: linear(0xbfc4d1),
  grid: linear(0x34373f),
  axisX: linear(0xd94d4d),
  axisY: linear(0x59bf59),
  axisZ: linear(0x5980f2),
};

function linear(color) {
  return [16, 8, 0].map((shift) => (((color >> shift) & 255) / 255) ** 2.2);
}

/** Height of the ground, as y in OpenCV axes (downward). */
export function groundOf(model) {
  return (model.keyframes[0]?.position[1] ?? 0) + CAMERA_HEIGHT * model.worldScale;
}

/** The image's corners at a distance: left top, right top, right bottom, left bottom, and a point above; OpenCV camera axes. */
export function frustumCorners([fx, fy, cx, cy], zoom, distance) {
  const x = (pixel) => ((pixel - cx) / (fx * zoom)) * distance;
  const y = (pixel) => ((pixel - cy) / (fy * zoom)) * distance;
  const [left, right, top, bottom] = [x(0), x(FRAME_WIDTH), y(0), y(FRAME_HEIGHT)];
  const roof = [(left + right) / 2, top - (bottom - top) * 0.3, distance];
  return [[left, top, distance], [right, top, distance], [right, bottom, distance], [left, bottom, distance], roof];
}

/** Write a frustum's line ends into `out` from number `offset` on; a last line goes down to the ground. */
export function writeFrustum(out, offset, { position, rotation, zoom = 1 }, intrinsics, distance, ground) {
  const points = [position];
  for (const corner of frustumCorners(intrinsics, zoom, distance)) {
    const [x, y, z] = turned(corner, rotation);
    points.push([position[0] + x, position[1] + y, position[2] + z]);
  }
  points.push([position[0], ground, position[2]]);
  const placed = points.map(cvToGlPosition);
  FRUSTUM_LINES.forEach((point, index) => out.set(placed[point], offset + 3 * index));
}

/** Lines and colours of all frusta of a path: {positions, colors}, and of their handles {handles, handleColors}. */
export function frustaOf(model, distance) {
  const { keyframes, selection, intrinsics } = model;
  const ground = groundOf(model);
  const count = keyframes.length;
  const positions = new Float32Array(count * FRUSTUM_POINTS * 3);
  const colors = new Float32Array(positions.length);
  const handles = new Float32Array(count * 3);
  const handleColors = new Float32Array(count * 3);
  keyframes.forEach((keyframe, index) => {
    const color = selection.has(keyframe.id) ? COLORS.selected : COLORS.keyframe;
    writeFrustum(positions, index * FRUSTUM_POINTS * 3, keyframe, intrinsics, distance, ground);
    for (let point = 0; point < FRUSTUM_POINTS; point += 1) colors.set(color, (index * FRUSTUM_POINTS + point) * 3);
    handles.set(cvToGlPosition(keyframe.position), index * 3);
    handleColors.set(color, index * 3);
  });
  return { positions, colors, handles, handleColors };
}

/** The sampled path as line segments coloured by the speed of their chunk, with a bar at the start of every chunk. */
export function sampledLines({ positions: places, rotations, chunks }, tickLength) {
  const numSegments = Math.max(0, places.length - 1) + chunks.length;
  const positions = new Float32Array(numSegments * 6);
  const colors = new Float32Array(numSegments * 6);
  let at = 0;
  const add = (from, to, color) => {
    positions.set(cvToGlPosition(from), at);
    positions.set(cvToGlPosition(to), at + 3);
    colors.set(color, at);
    colors.set(color, at + 3);
    at += 6;
  };
  let chunk = -1;
  for (let frame = 1; frame < places.length; frame += 1) {
    while (chunk + 1 < chunks.length && chunks[chunk + 1].first_frame <= frame) chunk += 1;
    add(places[frame - 1], places[frame], COLORS[chunks[chunk]?.level] ?? COLORS.unknown);
  }
  for (const { first_frame: frame } of chunks) {
    const [x, y, z] = places[frame];
    const [dx, dy, dz] = turned([tickLength / 2, 0, 0], rotations[frame]);
    add([x - dx, y - dy, z - dz], [x + dx, y + dy, z + dz], COLORS.tick);
  }
  return { positions: positions.subarray(0, at), colors: colors.subarray(0, at) };
}

const GRID_LINES = 24;

/**
 * Ground grid around a point, and the world's axes at the origin (x right red, y up green, z forward blue).
 * Cell by cell: software renderers leave out long lines that pass behind the camera.
 */
export function gridLines(cell, centre, height) {
  const half = (GRID_LINES / 2) * cell;
  const [left, back] = [Math.round(centre[0] / cell) * cell - half, Math.round(centre[2] / cell) * cell - half];
  const positions = [];
  const colors = [];
  const add = (from, to, color) => {
    positions.push(...from, ...to);
    colors.push(...color, ...color);
  };
  for (let i = 0; i <= GRID_LINES; i += 1) {
    for (let k = 0; k < GRID_LINES; k += 1) {
      const [a, b, c] = [i * cell, k * cell, (k + 1) * cell];
      add([left + a, height, back + b], [left + a, height, back + c], COLORS.grid);
      add([left + b, height, back + a], [left + c, height, back + a], COLORS.grid);
    }
  }
  add([0, 0, 0], [cell, 0, 0], COLORS.axisX);
  add([0, 0, 0], [0, cell, 0], COLORS.axisY);
  add([0, 0, 0], [0, 0, -cell], COLORS.axisZ);
  return { positions: new Float32Array(positions), colors: new Float32Array(colors) };
}

/** The 1, 2 or 5 times a power of ten that is nearest below a number. */
export function roundStep(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = value / power;
  return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

/** {centre, radius} of points in OpenCV axes, in those of three.js; null without points. */
export function boundsOf(points) {
  if (!points.length) return null;
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const point of points) {
    for (let axis = 0; axis < 3; axis += 1) {
      low[axis] = Math.min(low[axis], point[axis]);
      high[axis] = Math.max(high[axis], point[axis]);
    }
  }
  const centre = cvToGlPosition(low.map((value, axis) => (value + high[axis]) / 2));
  return { centre, radius: Math.hypot(...low.map((value, axis) => high[axis] - value)) / 2 };
}

/** Rotation of a level camera that looks from one point towards another, OpenCV axes; null when they are one above the other. */
export function lookAlong(from, to) {
  const [x, z] = [to[0] - from[0], to[2] - from[2]];
  if (Math.hypot(x, z) < 1e-9) return null;
  const half = Math.atan2(x, z) / 2;
  return [0, Math.sin(half), 0, Math.cos(half)];
}
