// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Uses the camera path editor in ComfyUI's page as a person does and prints, as JSON, what came of it. Started by
// test_editor.py; see useEditor for its argument.
import {
  APP_READY_MS,
  CAMERA_NODE,
  bringIntoSight,
  drag,
  hostState,
  inEditor,
  makeGraph,
  medianGapWhileOrbiting,
  openEditor,
  press,
  readCamera,
  readPath,
  readTimes,
  result,
  shoot,
  useEditor,
  viewBox,
  waitForSampled,
  writePath,
} from "./editor_page.mjs";

const FLY_MS = 2000;
const FLY_KEYS = ["w", "a", "s", "d", "q", "e"];
const HOST_KEYS = [...FLY_KEYS, "Delete", "Control+z", "Control+y", "Escape"];

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
  await writePath(
    page,
    Array.from({ length: count }, (_, index) => ({
      time_sec: index * 0.05,
      position: [Math.sin(index / 8), 0, index * 0.05],
    })),
  );
  await waitForSampled(page);
  await press(page, "fit");
  const box = await viewBox(page);
  await inEditor(page, (editor) => editor.view.clearStats());
  const medianGapMs = await medianGapWhileOrbiting(page);
  const { drawCalls, cpuMs } = await inEditor(page, (editor) => editor.view.stats);
  cpuMs.sort((a, b) => a - b);
  return {
    size: [box.width, box.height],
    drawCalls,
    medianGapMs,
    p95CpuMs: cpuMs[Math.floor(cpuMs.length * 0.95)],
    numFrames: cpuMs.length,
  };
}

useEditor({
  makeGraph,
  open: async (page) => (result.openMs = await openEditor(page)),
  bringIntoSight,
  draw,
  move,
  useTimeline,
  fly,
  run,
  shoot: (page) => shoot(page, "editor"),
  reload,
  pressHostKeys,
  breakText,
  measure: async (page) => {
    result.few = await measure(page, 3);
    result.many = await measure(page, 100);
  },
});
