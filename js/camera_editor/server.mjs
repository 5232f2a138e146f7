// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** The pack's routes as functions. What the server says is wrong becomes an Error with its message. */

const PREFIX = "/lingbot_world/camera";
const SAMPLE_DELAY_MS = 40;

export class Server {
  #host;
  #sampling = null;
  #timer = 0;

  /** `host.fetch(route, options)` is fetch on the ComfyUI server. */
  constructor(host) {
    this.#host = host;
  }

  /** Poses of every frame of a path, its chunks and warnings. `easing` and `worldScale` as the node has them. */
  sample(path, totalBlocks, { easing, worldScale, signal } = {}) {
    return this.#post("sample", { path, total_blocks: totalBlocks, easing, world_scale: worldScale }, signal);
  }

  /**
   * Sample when the last call is `SAMPLE_DELAY_MS` old; an answer that is overtaken by a newer call is dropped.
   * `onDone(sampled)` or `onError(error)` is called for the newest one.
   */
  sampleSoon(path, totalBlocks, options, onDone, onError) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      this.#sampling?.abort();
      const sampling = (this.#sampling = new AbortController());
      try {
        const sampled = await this.sample(path, totalBlocks, { ...options, signal: sampling.signal });
        if (!sampling.signal.aborted) onDone(sampled);
      } catch (error) {
        if (!sampling.signal.aborted) onError(error);
      }
    }, SAMPLE_DELAY_MS);
  }

  /** Forget what `sampleSoon` is waiting for. */
  cancel() {
    clearTimeout(this.#timer);
    this.#sampling?.abort();
  }

  /** The presets: [{name, description, parameters}]. */
  presets() {
    return this.#json("presets");
  }

  /** A preset as text of a path. */
  async preset(preset, totalBlocks, options = {}) {
    return (await this.#post("preset", { preset, total_blocks: totalBlocks, options })).path;
  }

  /** Keyframes of a flight with recorded keys from a moment of the path: its start, then every end of a chunk. */
  async fly(start, edges, startSec) {
    return (await this.#post("fly", { start, edges, start_sec: startSec })).keyframes;
  }

  /** A path from files of other programs: {path, format, warnings}. `isExact`: every pose becomes a keyframe. */
  importFiles(files, { isExact = false } = {}) {
    const body = new FormData();
    if (isExact) body.append("exact", "1");
    for (const file of files) body.append("files", file, file.name);
    return this.#json("import", { method: "POST", body });
  }

  /** A path as a file of another format: {blob, name}. */
  async exportPath(path, totalBlocks, format) {
    const answer = await this.#request("export", jsonBody({ path, total_blocks: totalBlocks, format }));
    const name = /filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
    return { blob: await answer.blob(), name: name ?? `camera_path.${format}` };
  }

  #post(route, body, signal) {
    return this.#json(route, { ...jsonBody(body), signal });
  }

  async #json(route, options) {
    return (await this.#request(route, options)).json();
  }

  async #request(route, options) {
    const answer = await this.#host.fetch(`${PREFIX}/${route}`, options);
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => null);
    throw new Error(problem?.error ?? `The server answered ${answer.status} ${answer.statusText}.`);
  }
}

function jsonBody(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
