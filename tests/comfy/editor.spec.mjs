// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Uses the camera path editor in ComfyUI's page as a person does and prints, as JSON, what came of it. Started by
// test_editor.py. Argument: JSON {url, chromium, module, shots?: folder}
import { createRequire } from "node:module";

const job = JSON.parse(process.argv[2]);
const { chromium } = createRequire(import.meta.url)(job.module);

const APP_READY_MS = 120_000;
const STEP_MS = 20_000;
const CAMERA_NODE = "LingBotCameraTrajectory";
const RECORDER_NODE = "LingBotTestCamera";
const FLY_MS = 2000;
const FLY_KEYS = ["w", "a", "s", "d", "q", "e"];
const HOST_KEYS = [...FLY_KEYS, "Delete", "Control+z", "Control+y", "Escape"];

const result = { problems: [] };

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
async function makeGraph(page) {
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

function readCamera(page) {
  return page.evaluate((type) => {
    const node = (window.app.graph.nodes ?? window.app.graph._nodes).find((other) => other.type === type);
    return Object.fromEntries(node.widgets.map(({ name, value }) => [name, value]));
  }, CAMERA_NODE);
}

async function readPath(page) {
  const { keyframes } = await readCamera(page);
  return keyframes ? JSON.parse(keyframes) : { keyframes: [] };
}

async function readTimes(page) {
  return (await readPath(page)).keyframes.map(({ time_sec }) => time_sec);
}

/** Runs `fn(editor, argument)` on the page. */
function inEditor(page, fn, argument) {
  return page.evaluate(
    ([code, value]) => {
      const { lingbotEditor } = document.querySelector('[data-lingbot="camera-editor"]');
      return new Function("editor", "argument", `return (${code})(editor, argument)`)(lingbotEditor, value);
    },
    [fn.toString(), argument],
  );
}

async function openEditor(page) {
  const started = Date.now();
  await page.locator('[data-lingbot="camera-editor"] input[value="Edit path"]').click();
  await page.waitForFunction(() => document.querySelector('[data-lingbot="camera-editor"]')?.lingbotEditor);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  const openMs = Date.now() - started;
  await page.waitForTimeout(500);
  return openMs;
}

function press(page, action) {
  return page.locator(`.lbw-editor input[data-action="${action}"]`).click();
}

function viewBox(page) {
  return page.locator(".lbw-view > canvas").first().boundingBox();
}

async function waitForSampled(page) {
  await page.waitForFunction(() => {
    const { lingbotEditor: editor } = document.querySelector('[data-lingbot="camera-editor"]');
    return editor?.sampled?.num_frames;
  });
  await page.waitForTimeout(500);
}

async function drag(page, [x0, y0], [x1, y1]) {
  await page.mouse.move(x0, y0);
  await page.mouse.down();
  for (let part = 1; part <= 8; part++) await page.mouse.move(x0 + ((x1 - x0) * part) / 8, y0 + ((y1 - y0) * part) / 8);
  await page.mouse.up();
}

async function draw(page) {
  await press(page, "draw");
  const box = await viewBox(page);
  for (const [x, y] of [
    [0.5, 0.75],
    [0.45, 0.6],
    [0.55, 0.5],
  ]) {
    await page.mouse.click(box.x + x * box.width, box.y + y * box.height);
    await page.waitForTimeout(150);
  }
  await page.keyboard.press("Escape");
  result.drawn = await readPath(page);
  await waitForSampled(page);
}

/** Drags the middle of the handles on the last keyframe. */
async function move(page) {
  const { position } = (await readPath(page)).keyframes.at(-1);
  const [x, y] = await inEditor(page, (editor, place) => editor.view.screenPosition(place), position);
  await page.mouse.click(x, y);
  await press(page, "translate");
  await drag(page, [x, y], [x + 40, y - 25]);
  result.moved = await readPath(page);
  await page.keyboard.press("Control+z");
  result.undone = await readPath(page);
  await page.keyboard.press("Control+y");
  result.redone = await readPath(page);
  await page.keyboard.press("Control+z");
}

async function useTimeline(page) {
  const box = await page.locator('canvas[data-lingbot="timeline"]').boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + 6);
  result.scrubbedSec = await inEditor(page, (editor) => editor.timeline.timeSec);
  result.scrubbedFrame = await inEditor(page, (editor) => editor.view.frame);
  await page.keyboard.press("Space");
  await page.waitForTimeout(400);
  await page.keyboard.press("Space");
  result.playedSec = await inEditor(page, (editor) => editor.timeline.timeSec);
  await page.keyboard.press("Enter");
  result.inserted = await readTimes(page);
  await page.keyboard.press("Control+z");
  result.insertUndone = await readTimes(page);
}

async function fly(page) {
  const before = await readTimes(page);
  const box = await viewBox(page);
  await page.mouse.click(box.x + 20, box.y + 20); // nothing selected: from the last keyframe on
  await press(page, "fly");
  await page.keyboard.down("w");
  await page.waitForTimeout(FLY_MS);
  await page.keyboard.up("w");
  await page.keyboard.press("Escape");
  await page.waitForFunction(
    ([type, count]) => {
      const node = (window.app.graph.nodes ?? window.app.graph._nodes).find((other) => other.type === type);
      return JSON.parse(node.widgets.find(({ name }) => name === "keyframes").value).keyframes.length > count;
    },
    [CAMERA_NODE, before.length],
  );
  result.beforeFlight = before;
  result.flown = await readPath(page);
}

/** What the host's shortcuts would change. */
function hostState(page) {
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

/** Presses the keys that mean something to the host: resting, flying, in the timeline and on a button. */
async function pressHostKeys(page) {
  const before = await hostState(page);
  const box = await viewBox(page);
  result.hostStates = {};
  const places = {
    view: () => page.mouse.click(box.x + 20, box.y + 20),
    flying: () => press(page, "fly"),
    timeline: () => page.locator('canvas[data-lingbot="timeline"]').click({ position: { x: 60, y: 6 } }),
    button: () => page.locator('.lbw-editor input[data-action="snap"]').focus(),
  };
  for (const [place, go] of Object.entries(places)) {
    await go();
    for (const key of HOST_KEYS) {
      await page.keyboard.press(key);
      await page.waitForTimeout(40);
    }
    await page.waitForTimeout(300);
    result.hostStates[place] = (await hostState(page)) === before ? "same" : `${before} -> ${await hostState(page)}`;
  }
}

/** Queues the graph and compares what the node got with what the editor shows. */
async function run(page) {
  await waitForSampled(page);
  result.shown = await inEditor(page, ({ sampled }) => ({
    positions: sampled.positions,
    rotations: sampled.rotations,
    num_chunks: sampled.num_chunks,
  }));
  result.recorded = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const { api } = window.app;
        setTimeout(() => reject(new Error("the run has not ended")), 60_000);
        api.addEventListener("executed", ({ detail }) => detail.output?.lingbot_camera && resolve(detail.output.lingbot_camera[0]));
        api.addEventListener("execution_error", ({ detail }) => reject(new Error(detail.exception_message)));
        window.app.queuePrompt(0, 1);
      }),
  );
}

/** Shows the camera node at its usual place and size, whatever the page made of it. */
async function bringIntoSight(page) {
  await page.evaluate((type) => {
    const { app } = window;
    const node = (app.graph.nodes ?? app.graph._nodes).find((other) => other.type === type);
    node.setSize([640, 800]);
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [60, 40];
    app.canvas.setDirty(true, true);
  }, CAMERA_NODE);
  await page.waitForTimeout(500);
}

/** Saves the workflow as the page does, opens it anew and reads the value. */
async function reload(page) {
  result.savedValue = (await readCamera(page)).keyframes;
  const saved = await page.evaluate(() => JSON.stringify(window.app.graph.serialize()));
  result.savedWidgets = JSON.parse(saved).nodes.find(({ type }) => type === CAMERA_NODE).widgets_values;
  await page.reload();
  await page.waitForFunction((type) => window.LiteGraph?.registered_node_types?.[type], CAMERA_NODE, { timeout: APP_READY_MS });
  await page.waitForTimeout(2500);
  await page.evaluate((text) => window.app.loadGraphData(JSON.parse(text)), saved);
  await page.waitForTimeout(800);
  result.loadedValue = (await readCamera(page)).keyframes;
  result.apiValue = await page.evaluate(async (type) => {
    const { output } = await window.app.graphToPrompt();
    return Object.values(output).find((node) => node.class_type === type).inputs;
  }, CAMERA_NODE);
  result.warmOpenMs = await openEditor(page);
  result.sizes = [saved, await page.evaluate(() => JSON.stringify(window.app.graph.serialize()))].map(
    (text) => JSON.parse(text).nodes.find(({ type }) => type === CAMERA_NODE).size,
  );
  await bringIntoSight(page);
  await waitForSampled(page);
  result.reopenedValue = (await readCamera(page)).keyframes;
}

/** Text that is no path: kept in the widget, told in the editor, and dropped only when asked. */
async function breakText(page) {
  const valid = (await readCamera(page)).keyframes;
  await press(page, "side");
  await page.locator('[data-lingbot="panels"] input.head[value*="Path as text"]').click();
  const text = page.getByLabel("Path as JSON text");
  await text.fill('{"keyframes": [');
  await text.press("Control+Enter");
  result.brokenValue = (await readCamera(page)).keyframes;
  result.brokenMessage = await page.locator('[data-lingbot="panels"] [role="alert"] p').first().textContent();
  await page.locator('[data-lingbot="panels"] input[value="Discard the text"]').click();
  result.isRestored = (await readCamera(page)).keyframes === valid;
  await press(page, "side");
}

/** Draw calls and times while orbiting with few and with many keyframes. */
async function measure(page, count) {
  await page.evaluate(
    ([type, number]) => {
      const node = (window.app.graph.nodes ?? window.app.graph._nodes).find((other) => other.type === type);
      const widget = node.widgets.find(({ name }) => name === "keyframes");
      const keyframes = Array.from({ length: number }, (_, index) => ({
        time_sec: index * 0.05,
        position: [Math.sin(index / 8), 0, index * 0.05],
      }));
      widget.value = JSON.stringify({ format: "lingbot-camera-path", version: 1, keyframes });
      widget.callback?.(widget.value);
    },
    [CAMERA_NODE, count],
  );
  await waitForSampled(page);
  await press(page, "fit");
  const box = await viewBox(page);
  await inEditor(page, (editor) => editor.view.clearStats());
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
  const { drawCalls, cpuMs } = await inEditor(page, (editor) => editor.view.stats);
  cpuMs.sort((a, b) => a - b);
  return {
    size: [box.width, box.height],
    drawCalls,
    medianGapMs: gaps[Math.floor(gaps.length / 2)],
    p95CpuMs: cpuMs[Math.floor(cpuMs.length * 0.95)],
    numFrames: cpuMs.length,
  };
}

async function shoot(page, name) {
  if (job.shots) await page.screenshot({ path: `${job.shots}/${name}.png` });
}

async function main() {
  const browser = await chromium.launch({
    executablePath: job.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  let step = "open the page";
  try {
    const page = await openPage(browser);
    const steps = {
      makeGraph,
      open: async () => (result.openMs = await openEditor(page)),
      draw,
      move,
      useTimeline,
      fly,
      run,
      shoot: () => shoot(page, "editor"),
      reload,
      pressHostKeys,
      breakText,
      measure: async () => {
        result.few = await measure(page, 3);
        result.many = await measure(page, 100);
      },
    };
    for (const [name, go] of Object.entries(steps)) {
      step = name;
      try {
        await go(page);
      } catch (error) {
        await shoot(page, "failure");
        throw error;
      }
    }
  } catch (error) {
    result.failure = `${step}: ${error.stack || error}`;
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(result));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
