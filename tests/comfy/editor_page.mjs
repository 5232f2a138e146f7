// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
/** What the editor's browser tests share: opening ComfyUI's page, a graph, the editor, and its parts. */
import { createRequire } from "node:module";

/** {url, chromium, module: playwright-core, shots?: folder for pictures, and what a test adds}. */
export const job = JSON.parse(process.argv[2]);
/** What the test prints in the end; `problems` are errors of the page with their source. */
export const result = { problems: [] };

export const APP_READY_MS = 120_000;
export const CAMERA_NODE = "LingBotCameraTrajectory";
const RECORDER_NODE = "LingBotTestCamera";
const STEP_MS = 20_000;

const { chromium } = createRequire(import.meta.url)(job.module);

async function openPage(browser) {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  page.setDefaultTimeout(STEP_MS);
  page.on("console", (message) => {
    if (message.type() === "error") result.problems.push({ text: message.text(), source: message.location().url });
  });
  page.on("pageerror", (error) => result.problems.push({ text: String(error.stack || error), source: "" }));
  await page.goto(job.url);
  await page.waitForFunction(
    (type) => window.app?.graph && window.LiteGraph?.registered_node_types?.[type],
    CAMERA_NODE,
    { timeout: APP_READY_MS },
  );
  await page.waitForTimeout(1500);
  await page.keyboard.press("Escape"); // a first visit opens the templates
  await page.waitForTimeout(500);
  return page;
}

/** A graph of the camera node and a node that tells the poses which it gets. */
export async function makeGraph(page) {
  await page.evaluate(
    async ([cameraType, recorderType]) => {
      const { app, LiteGraph } = window;
      await app.loadGraphData({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4 });
      const [camera, recorder] = [cameraType, recorderType].map((type) => LiteGraph.createNode(type));
      app.graph.add(camera);
      app.graph.add(recorder);
      camera.pos = [60, 80];
      recorder.pos = [900, 80];
      camera.connect(0, recorder, 0);
      camera.widgets.find(({ name }) => name === "total_blocks").value = 8;
      app.canvas.ds.scale = 1;
      app.canvas.ds.offset = [60, 40];
      app.canvas.setDirty(true, true);
    },
    [CAMERA_NODE, RECORDER_NODE],
  );
  await page.waitForTimeout(800);
}

/** Puts keyframes into the node as loading or typing does. */
export async function writePath(page, keyframes) {
  await page.evaluate(
    ([type, list]) => {
      const node = (window.app.graph.nodes ?? window.app.graph._nodes).find((other) => other.type === type);
      const widget = node.widgets.find(({ name }) => name === "keyframes");
      widget.value = JSON.stringify({ format: "lingbot-camera-path", version: 1, keyframes: list });
      widget.callback?.(widget.value);
    },
    [CAMERA_NODE, keyframes],
  );
}

export function readCamera(page) {
  return page.evaluate((type) => {
    const node = (window.app.graph.nodes ?? window.app.graph._nodes).find((other) => other.type === type);
    return Object.fromEntries(node.widgets.map(({ name, value }) => [name, value]));
  }, CAMERA_NODE);
}

export async function readPath(page) {
  const { keyframes } = await readCamera(page);
  return keyframes ? JSON.parse(keyframes) : { keyframes: [] };
}

export async function readTimes(page) {
  return (await readPath(page)).keyframes.map(({ time_sec }) => time_sec);
}

/** Runs `fn(editor, argument)` on the page. */
export function inEditor(page, fn, argument) {
  return page.evaluate(
    ([code, value]) => {
      const { lingbotEditor } = document.querySelector('[data-lingbot="camera-editor"]');
      return new Function("editor", "argument", `return (${code})(editor, argument)`)(lingbotEditor, value);
    },
    [fn.toString(), argument],
  );
}

export async function openEditor(page) {
  const started = Date.now();
  await page.locator('[data-lingbot="camera-editor"] input[value="Edit path"]').click();
  await page.waitForFunction(() => document.querySelector('[data-lingbot="camera-editor"]')?.lingbotEditor);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  const openMs = Date.now() - started;
  await page.waitForTimeout(500);
  return openMs;
}

export function press(page, action) {
  return page.locator(`.lbw-editor input[data-action="${action}"]`).click();
}

export function viewBox(page) {
  return page.locator(".lbw-view > canvas").first().boundingBox();
}

export async function waitForSampled(page) {
  await page.waitForFunction(() => {
    const { lingbotEditor: editor } = document.querySelector('[data-lingbot="camera-editor"]');
    return editor?.sampled?.num_frames;
  });
  await page.waitForTimeout(500);
}

export async function drag(page, [x0, y0], [x1, y1]) {
  await page.mouse.move(x0, y0);
  await page.mouse.down();
  for (let part = 1; part <= 8; part++) await page.mouse.move(x0 + ((x1 - x0) * part) / 8, y0 + ((y1 - y0) * part) / 8);
  await page.mouse.up();
}

/** Shows the camera node at one place and size, whatever the page made of it. */
export async function bringIntoSight(page) {
  await page.evaluate((type) => {
    const { app } = window;
    const node = (app.graph.nodes ?? app.graph._nodes).find((other) => other.type === type);
    node.setSize([640, 800]);
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [120 - node.pos[0], 120 - node.pos[1]];
    app.canvas.setDirty(true, true);
  }, CAMERA_NODE);
  await page.waitForTimeout(500);
}

/** What the host's shortcuts would change. */
export function hostState(page) {
  return page.evaluate(() => {
    const { app } = window;
    const nodes = app.graph.nodes ?? app.graph._nodes;
    return JSON.stringify({
      nodes: nodes.map(({ id, type, mode, flags }) => [id, type, mode, flags?.collapsed ?? false, flags?.pinned ?? false]),
      sidebar: app.extensionManager?.sidebarTab?.activeSidebarTabId ?? null,
      links: [...(app.graph.links?.keys?.() ?? [])].length,
      dialogs: document.querySelectorAll('[role="dialog"]').length,
    });
  });
}

/** Turns the view with the mouse. Returns the median time between two pictures meanwhile, in milliseconds. */
export async function medianGapWhileOrbiting(page) {
  const box = await viewBox(page);
  await page.evaluate(() => {
    window.lingbotGaps = [];
    let last = performance.now();
    const step = (now) => {
      window.lingbotGaps?.push(now - last);
      last = now;
      if (window.lingbotGaps) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  await page.mouse.move(box.x + 30, box.y + 30);
  await page.mouse.down();
  for (let part = 0; part < 90; part++) {
    await page.mouse.move(box.x + 30 + part * 2, box.y + 30 + part / 2);
    await page.waitForTimeout(12);
  }
  await page.mouse.up();
  const gaps = await page.evaluate(() => {
    const found = window.lingbotGaps.slice(1).sort((a, b) => a - b);
    window.lingbotGaps = null;
    return found;
  });
  return gaps[Math.floor(gaps.length / 2)];
}

export async function shoot(page, name) {
  if (job.shots) await page.screenshot({ path: `${job.shots}/${name}.png` });
}

/** Opens the page, does the steps {name: fn(page)} one after the other, and prints `result`. */
export async function useEditor(steps) {
  const browser = await chromium.launch({
    executablePath: job.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  let step = "open the page";
  let page = null;
  try {
    page = await openPage(browser);
    for (const [name, go] of Object.entries(steps)) {
      step = name;
      await go(page);
    }
  } catch (error) {
    result.failure = `${step}: ${error.stack || error}`;
    if (page) await shoot(page, "failure").catch(() => {});
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(result));
}
