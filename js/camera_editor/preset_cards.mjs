// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** The small moving pictures of the presets: the path and a camera that travels it, seen from behind and above. */
import { slerp, turned } from "./axes.mjs";

export const CARD_WIDTH = 88;
export const CARD_HEIGHT = 56;
const LOOP_SEC = 3;
const PADDING = 7;
const CAMERA_SHARE = 0.22;
const CORNERS = [
  [-0.8, -0.5, 1],
  [0.8, -0.5, 1],
  [0.8, 0.5, 1],
  [-0.8, 0.5, 1],
];

/** Where a point in OpenCV axes is drawn: right is right, ahead goes up and to the right. */
export function obliquely([x, y, z]) {
  return [x + 0.35 * z, y - 0.45 * z];
}

/** The camera at a share of the way through keyframes, for the picture only. */
export function poseAtShare(keyframes, share) {
  const timeSec = keyframes[0].timeSec + share * (keyframes.at(-1).timeSec - keyframes[0].timeSec);
  const next = Math.max(1, keyframes.findIndex((keyframe) => keyframe.timeSec >= timeSec));
  const [from, to] = [keyframes[next - 1], keyframes[next] ?? keyframes[next - 1]];
  const gapSec = to.timeSec - from.timeSec;
  const part = gapSec > 0 ? (timeSec - from.timeSec) / gapSec : 0;
  return {
    position: from.position.map((value, axis) => value + part * (to.position[axis] - value)),
    rotation: slerp(from.rotation, to.rotation, part),
  };
}

/** The lines of a camera: its tip and the four corners of its picture. */
export function cameraLines({ position, rotation }, size) {
  const place = (corner) => turned(corner, rotation).map((value, axis) => position[axis] + size * value);
  return [position, ...CORNERS.map(place)];
}

/** Scale and shift that bring points of the picture into a card. */
export function fitToCard(points, width = CARD_WIDTH, height = CARD_HEIGHT) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [wide, high] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = Math.min((width - 2 * PADDING) / (wide || 1e-9), (height - 2 * PADDING) / (high || 1e-9));
  return ([x, y]) => [
    width / 2 + (x - left - wide / 2) * scale,
    height / 2 + (y - top - high / 2) * scale,
  ];
}

/** Draws one card and, while it is active, moves its camera. */
export class PresetPicture {
  #canvas;
  #keyframes = null;
  #toCard = null;
  #cameraSize = 1;
  #playing = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = CARD_WIDTH * ratio;
    canvas.height = CARD_HEIGHT * ratio;
    canvas.getContext("2d").scale(ratio, ratio);
  }

  /** Takes the keyframes of the path to be shown. */
  show(keyframes) {
    if (!keyframes.length) return;
    this.#keyframes = keyframes;
    const ends = keyframes.map(({ position }) => position);
    const extent = Math.max(...[0, 1, 2].map((axis) => spread(ends.map((position) => position[axis]))));
    this.#cameraSize = CAMERA_SHARE * extent || 1;
    const points = keyframes.flatMap((pose) => cameraLines(pose, this.#cameraSize)).map(obliquely);
    this.#toCard = fitToCard(points);
    this.#draw(1);
  }

  play() {
    if (this.#playing || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const startMs = performance.now();
    const step = (nowMs) => {
      this.#draw((Math.max(0, nowMs - startMs) / 1000 / LOOP_SEC) % 1);
      this.#playing = requestAnimationFrame(step);
    };
    this.#playing = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    this.#draw(1);
  }

  #draw(share) {
    if (!this.#keyframes) return;
    const ctx = this.#canvas.getContext("2d");
    ctx.clearRect(0, 0, CARD_WIDTH, CARD_HEIGHT);
    ctx.lineJoin = "round";
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = "#6aa8ff";
    this.#stroke(ctx, this.#keyframes.map(({ position }) => position));
    ctx.strokeStyle = "#ffb02e";
    const [tip, ...corners] = cameraLines(poseAtShare(this.#keyframes, share), this.#cameraSize);
    this.#stroke(ctx, [...corners, corners[0]]);
    for (const corner of corners) this.#stroke(ctx, [tip, corner]);
  }

  #stroke(ctx, points) {
    ctx.beginPath();
    points.map(obliquely).map(this.#toCard).forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.stroke();
  }
}

function spread(values) {
  return Math.max(...values) - Math.min(...values);
}
