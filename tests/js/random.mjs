// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** Repeatable randomness for property tests: a failing case is named by its seed. */

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function between(random, low, high) {
  return low + random() * (high - low);
}

export function oneOf(random, list) {
  return list[Math.floor(random() * list.length)];
}

/** A uniformly spread unit quaternion x, y, z, w. */
export function randomRotation(random) {
  const [a, b, c] = [random(), 2 * Math.PI * random(), 2 * Math.PI * random()];
  const [near, far] = [Math.sqrt(1 - a), Math.sqrt(a)];
  return [near * Math.sin(b), near * Math.cos(b), far * Math.sin(c), far * Math.cos(c)];
}

export function randomPosition(random, size = 10) {
  return [0, 1, 2].map(() => between(random, -size, size));
}
