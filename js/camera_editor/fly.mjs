// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
import { Flight, readSticks } from "./flight.mjs";

/**
 * Fly mode: keys, mouse and gamepad steer a camera through which the view looks. The flight goes on from
 * the one selected keyframe, else from the last; on landing its keyframes take the place of all later ones,
 * as one undo step.
 *
 * Events: "state" when it begins and ends, "tick" for every picture.
 */
export class FlyMode extends EventTarget {
  #model;
  #view;
  #server;
  #flight = null;
  #startSec = 0;
  #timer = 0;
  #dragging = null;
  #listeners = new AbortController();

  constructor({ model, view, server }) {
    super();
    this.#model = model;
    this.#view = view;
    this.#server = server;
    const { signal } = this.#listeners;
    view.element.addEventListener("pointerdown", (event) => this.#grab(event), { signal });
    view.element.addEventListener("pointermove", (event) => this.#look(event), { signal });
    for (const name of ["pointerup", "pointercancel"]) {
      view.element.addEventListener(name, () => (this.#dragging = null), { signal });
    }
  }

  get isFlying() {
    return this.#flight !== null;
  }

  /** Seconds flown. */
  get timeSec() {
    return this.#flight?.timeSec ?? 0;
  }

  start() {
    const { selection, keyframes } = this.#model;
    const from = (selection.size === 1 && this.#model.get([...selection][0])) || keyframes.at(-1);
    this.#startSec = from?.timeSec ?? 0;
    this.#flight = new Flight(from ?? { position: [0, 0, 0], rotation: [0, 0, 0, 1], zoom: 1 });
    this.#view.fly(this.#flight.pose);
    this.#timer = requestAnimationFrame(() => this.#tick());
    this.dispatchEvent(new CustomEvent("state"));
  }

  /** Stop and keep what was flown. Resolves when the keyframes are in the path. */
  async land() {
    const flight = this.#flight;
    if (!flight) return;
    flight.releaseAll(performance.now());
    const startSec = this.#startSec;
    const startPose = { position: flight.track[0]?.position, rotation: flight.track[0]?.rotation };
    const { zoom } = flight.pose;
    this.#end();
    if (!flight.hasStarted || !flight.timeSec) return;
    let keyframes = flight.keyframes(startSec);
    if (!flight.isFree) {
      const flown = await this.#server.fly(startPose, flight.edges, startSec);
      keyframes = flown.map(({ time_sec: timeSec, position, rotation }) => ({ timeSec, position, rotation, zoom }));
    }
    this.#model.attempt(() =>
      this.#model.transaction("fly", () => {
        const starts = this.#model.keyframes.some(({ timeSec }) => timeSec === startSec);
        this.#model.remove(this.#model.keyframes.filter(({ timeSec }) => timeSec > startSec).map(({ id }) => id));
        this.#model.insertMany(starts ? keyframes.slice(1) : keyframes, "fly");
      }),
    );
  }

  /** Stop and keep nothing. */
  abandon() {
    if (this.#flight) this.#end();
  }

  /** A key of the keyboard; says whether it was one for flying. */
  key(event) {
    if (!this.#flight || event.ctrlKey || event.metaKey || event.altKey) return false;
    const now = performance.now();
    return event.type === "keydown" ? this.#flight.press(event.key, now) : this.#flight.release(event.key, now);
  }

  /** The keyboard has gone elsewhere: no key counts as held. */
  releaseKeys() {
    this.#flight?.releaseAll(performance.now());
  }

  dispose() {
    this.abandon();
    this.#listeners.abort();
  }

  #end() {
    cancelAnimationFrame(this.#timer);
    this.#flight = null;
    this.#dragging = null;
    this.#view.fly(null);
    this.dispatchEvent(new CustomEvent("state"));
  }

  #tick() {
    if (!this.#flight) return;
    const pad = navigator.getGamepads?.().find((gamepad) => gamepad?.connected);
    this.#flight.advance(performance.now(), pad ? readSticks(pad.axes) : null);
    this.#view.fly(this.#flight.pose);
    this.dispatchEvent(new CustomEvent("tick"));
    this.#timer = requestAnimationFrame(() => this.#tick());
  }

  #grab(event) {
    if (!this.#flight) return;
    this.#dragging = [event.clientX, event.clientY];
    event.target.setPointerCapture(event.pointerId);
  }

  #look(event) {
    if (!this.#flight || !this.#dragging) return;
    this.#flight.look(event.clientX - this.#dragging[0], event.clientY - this.#dragging[1], performance.now());
    this.#dragging = [event.clientX, event.clientY];
  }
}
