// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/**
 * What the timeline shows and where, without its controls. From top to bottom: seconds, chunks, speed with
 * text events, keyframes.
 */
import { slerp } from "./axes.mjs";
import { FRAMES_PER_SECOND, chunkAt, chunkEndSec, chunkStartSec, clamp } from "./time_scale.mjs";

const RULER_HEIGHT = 18;
const CHUNK_HEIGHT = 14;
const LANE_HEIGHT = 22;
const DIAMOND = 6;
const HIT_DISTANCE = 9;
const HEADROOM = 1.25;
const LEVEL_COLOURS = { green: "#4fb56b", amber: "#e0a93b", red: "#e5534b" };

/** Rows of a canvas of this height, in pixels. */
export function timelineRows(height) {
  const laneTop = Math.max(RULER_HEIGHT + CHUNK_HEIGHT, height - LANE_HEIGHT);
  return { chunkTop: RULER_HEIGHT, curveTop: RULER_HEIGHT + CHUNK_HEIGHT, laneTop, laneMiddle: (laneTop + height) / 2 };
}

/** How fast a chunk is as a share of the fastest that the model has seen, of the worse of step and turn. */
export function speedShare(chunk, seen) {
  const stepMaximum = seen?.step?.maximum ?? 1;
  const turnMaximum = seen?.rotation_deg?.maximum ?? Infinity;
  return Math.max(chunk.step / stepMaximum, chunk.rotation_deg / turnMaximum);
}

/** The keyframe whose diamond is at a place, or undefined; of several the nearest. */
export function keyframeAtPoint(keyframes, scale, x, y, height) {
  if (y < timelineRows(height).laneTop) return undefined;
  let [best, distance] = [undefined, HIT_DISTANCE];
  for (const keyframe of keyframes) {
    const away = Math.abs(scale.x(keyframe.timeSec) - x);
    if (away <= distance) [best, distance] = [keyframe, away];
  }
  return best;
}

/** The sampled pose at a moment, between the frames on its sides; null before anything is sampled. */
export function sampledPose(sampled, timeSec) {
  if (!sampled?.num_frames) return null;
  const frame = clamp(timeSec * FRAMES_PER_SECOND, 0, sampled.num_frames - 1);
  const before = Math.min(Math.floor(frame), Math.max(0, sampled.num_frames - 2));
  const after = Math.min(before + 1, sampled.num_frames - 1);
  const share = frame - before;
  const [from, to] = [sampled.positions[before], sampled.positions[after]];
  return {
    position: from.map((value, axis) => value + share * (to[axis] - value)),
    rotation: slerp(sampled.rotations[before], sampled.rotations[after], share),
  };
}

/** Which chunks cost nothing to change, in words. */
export function statusWords(knownChunks, numChunks) {
  if (!numChunks) return "";
  if (!knownChunks) return `${numChunks} chunks, none computed`;
  const left = numChunks - knownChunks;
  const computed = `${Math.min(knownChunks, numChunks)} of ${numChunks} chunks computed`;
  if (left <= 0) return `${computed}; a change is computed again from the chunk where it begins`;
  return `${computed}; changes after ${chunkStartSec(knownChunks).toFixed(2)} s cost none of them`;
}

/** Colours from the page's theme. */
export function themeColours(element) {
  const style = getComputedStyle(element);
  const of = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    background: of("--comfy-input-bg", "#222"),
    text: of("--input-text", "#ddd"),
    faint: of("--descrip-text", "#999"),
    line: of("--border-color", "#4e4e4e"),
    playhead: "#ffffff",
    selected: "#ffb02e",
    keyframe: "#8ab8ff",
    computed: "rgba(90, 160, 255, 0.22)",
    outside: "rgba(0, 0, 0, 0.35)",
    event: "#c792ea",
  };
}

/**
 * Draws everything.
 *
 * @param {CanvasRenderingContext2D} ctx in CSS pixels
 * @param {{width: number, height: number, scale: TimeScale, colours: object, keyframes: object[], selection: Set,
 *   timeSec: number, chunks: object[], seen: object, knownChunks: number, numChunks: number,
 *   textEvents: {chunk: number, label: string}[]}} scene
 */
export function drawTimeline(ctx, scene) {
  const { width, height, colours } = scene;
  const rows = timelineRows(height);
  ctx.clearRect(0, 0, width, height);
  ctx.fillStyle = colours.background;
  ctx.fillRect(0, 0, width, height);
  ctx.font = "10px sans-serif";
  ctx.textBaseline = "middle";
  drawComputed(ctx, scene, rows);
  drawSpeed(ctx, scene, rows);
  drawChunks(ctx, scene, rows);
  drawSeconds(ctx, scene);
  drawTextEvents(ctx, scene);
  drawOutside(ctx, scene);
  drawKeyframes(ctx, scene, rows);
  drawPlayhead(ctx, scene);
}

function drawComputed(ctx, { scale, colours, knownChunks, numChunks }, { chunkTop, laneTop }) {
  if (!knownChunks) return;
  const left = scale.x(0);
  const right = scale.x(chunkEndSec(Math.min(knownChunks, numChunks || knownChunks) - 1));
  ctx.fillStyle = colours.computed;
  ctx.fillRect(left, chunkTop, right - left, laneTop - chunkTop);
}

function drawSpeed(ctx, { scale, colours, chunks, seen, width }, { curveTop, laneTop }) {
  const room = laneTop - curveTop - 3;
  if (!chunks.length || room < 6) return;
  const shares = chunks.map((chunk) => speedShare(chunk, seen));
  const top = HEADROOM * Math.max(1, ...visible(chunks, scale, width).map((chunk) => shares[chunk.index]));
  const y = (share) => laneTop - 1 - (room * share) / top;
  ctx.setLineDash([3, 3]);
  ctx.strokeStyle = colours.faint;
  ctx.lineWidth = 1;
  line(ctx, 0, y(1), width, y(1));
  ctx.setLineDash([]);
  for (const chunk of visible(chunks, scale, width)) {
    const left = scale.x(chunkStartSec(chunk.index));
    const right = scale.x(chunkEndSec(chunk.index));
    ctx.fillStyle = LEVEL_COLOURS[chunk.level] ?? LEVEL_COLOURS.green;
    ctx.globalAlpha = 0.25;
    ctx.fillRect(left, y(shares[chunk.index]), right - left, laneTop - 1 - y(shares[chunk.index]));
    ctx.globalAlpha = 1;
    ctx.fillRect(left, y(shares[chunk.index]) - 1, Math.max(1, right - left - 0.5), 2);
  }
}

function drawChunks(ctx, { scale, colours, numChunks, width }, { chunkTop, laneTop }) {
  const lineStride = scale.chunkStride(6);
  const labelStride = scale.chunkStride(26);
  const first = Math.max(0, chunkAt(scale.timeSec(0)));
  ctx.strokeStyle = colours.line;
  ctx.fillStyle = colours.faint;
  ctx.lineWidth = 1;
  for (let index = first - (first % lineStride); index <= numChunks; index += lineStride) {
    const x = scale.x(chunkStartSec(index));
    if (x > width) break;
    line(ctx, x, chunkTop, x, laneTop);
    if (index % labelStride === 0 && index < numChunks) ctx.fillText(String(index), x + 3, chunkTop + 7);
  }
}

function drawSeconds(ctx, { scale, colours, width }) {
  const step = scale.tickSec(48);
  ctx.strokeStyle = colours.faint;
  ctx.fillStyle = colours.text;
  const digits = step < 1 ? 1 : 0;
  for (let count = Math.max(0, Math.ceil(scale.timeSec(0) / step)); ; count++) {
    const x = scale.x(count * step);
    if (x > width) break;
    line(ctx, x, 12, x, RULER_HEIGHT);
    ctx.fillText(`${(count * step).toFixed(digits)} s`, x + 3, 7);
  }
}

function drawTextEvents(ctx, { scale, colours, textEvents, width, height }) {
  const { curveTop, laneTop } = timelineRows(height);
  ctx.fillStyle = colours.event;
  ctx.strokeStyle = colours.event;
  for (const { chunk, label } of textEvents) {
    const x = scale.x(chunkStartSec(chunk));
    if (x < -200 || x > width) continue;
    line(ctx, x, curveTop, x, laneTop);
    ctx.beginPath();
    ctx.moveTo(x, curveTop + 2);
    ctx.lineTo(x + 7, curveTop + 6);
    ctx.lineTo(x, curveTop + 10);
    ctx.fill();
    ctx.fillText(label.length > 24 ? `${label.slice(0, 23)}…` : label, x + 10, curveTop + 7);
  }
}

function drawOutside(ctx, { scale, colours, numChunks, width, height }) {
  ctx.fillStyle = colours.outside;
  const start = scale.x(0);
  if (start > 0) ctx.fillRect(0, 0, start, height);
  const end = numChunks ? scale.x(chunkStartSec(numChunks)) : width;
  if (end < width) ctx.fillRect(end, 0, width - end, height);
}

function drawKeyframes(ctx, { scale, colours, keyframes, selection, width }, { laneTop, laneMiddle }) {
  ctx.strokeStyle = colours.line;
  line(ctx, 0, laneTop, width, laneTop);
  let lastX = -Infinity;
  for (const isSelected of [false, true]) {
    ctx.fillStyle = isSelected ? colours.selected : colours.keyframe;
    for (const { id, timeSec } of keyframes) {
      if (selection.has(id) !== isSelected) continue;
      const x = scale.x(timeSec);
      if (x < -DIAMOND || x > width + DIAMOND || (!isSelected && x - lastX < 0.5)) continue;
      if (!isSelected) lastX = x;
      ctx.beginPath();
      ctx.moveTo(x, laneMiddle - DIAMOND);
      ctx.lineTo(x + DIAMOND, laneMiddle);
      ctx.lineTo(x, laneMiddle + DIAMOND);
      ctx.lineTo(x - DIAMOND, laneMiddle);
      ctx.fill();
    }
  }
}

function drawPlayhead(ctx, { scale, colours, timeSec, height }) {
  const x = scale.x(timeSec);
  ctx.strokeStyle = colours.playhead;
  ctx.fillStyle = colours.playhead;
  ctx.lineWidth = 1;
  line(ctx, x, 0, x, height);
  ctx.beginPath();
  ctx.moveTo(x - 5, 0);
  ctx.lineTo(x + 5, 0);
  ctx.lineTo(x, 7);
  ctx.fill();
}

function visible(chunks, scale, width) {
  const first = Math.max(0, chunkAt(scale.timeSec(0)));
  return chunks.slice(first, chunkAt(scale.timeSec(width)) + 1);
}

function line(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
  ctx.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  ctx.stroke();
}
