// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** What the editor says about the state it is in. */

/** Help over the view; empty when the user knows what to do. */
export function hintOf({ isFlying, flownSec, isDrawing, isEmpty }) {
  if (isFlying) {
    return (
      `Flying, ${flownSec.toFixed(1)} s. W S ahead and back, A D or J L turn, Q E sideways, I K look up and down, ` +
      "or drag.\nEsc lands and keeps the flight."
    );
  }
  if (isDrawing) return "Click on the ground: the camera goes there next. Esc ends drawing.";
  return isEmpty ? "Nothing here yet. Draw or Fly a path, or take a preset under More." : "";
}

/**
 * The line below everything: [text, level]. `problem` is why there are no samples of the path as it is now,
 * `preset` what the node follows.
 */
export function statusOf({ keyframes, endSec, invalid, selection }, sampled, problem, preset) {
  if (invalid) return [`The text of the path is not valid. ${invalid.message}`, "error"];
  if (problem) return [problem, "error"];
  if (keyframes.length && preset !== "keyframes") {
    return [`The node follows its preset ${preset}, not these keyframes; the next edit changes that.`, "warning"];
  }
  if (sampled?.warnings.length) return [sampled.warnings.join(" "), "warning"];
  if (!keyframes.length) return ["", "info"];
  const count = `${keyframes.length} ${keyframes.length === 1 ? "keyframe" : "keyframes"}`;
  const chosen = selection.size ? `, ${selection.size} selected` : "";
  const video = sampled ? `; video ${sampled.num_chunks} chunks, ${sampled.num_frames} frames` : "";
  return [`${count}${chosen}, last at ${endSec.toFixed(2)} s${video}`, "info"];
}
