// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0

/** A clock that calls `onStep(seconds since the step before)` for every picture while it runs. */
export class Playback {
  #onStep;
  #pending = 0;

  constructor(onStep) {
    this.#onStep = onStep;
  }

  get isRunning() {
    return this.#pending !== 0;
  }

  start() {
    if (this.isRunning) return;
    let lastMs = performance.now();
    const step = (nowMs) => {
      this.#pending = requestAnimationFrame(step);
      const seconds = Math.max(0, nowMs - lastMs) / 1000;
      lastMs = nowMs;
      this.#onStep(seconds);
    };
    this.#pending = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.#pending);
    this.#pending = 0;
  }
}
