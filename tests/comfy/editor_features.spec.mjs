// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Presets, files, computed chunks, full screen, mouse look and gamepad of the camera path editor, in ComfyUI's page.
// Started by test_editor_features.py with, besides what useEditor needs: example (files to import), downloads (folder),
// graph (in API format, whose run computes two chunks).
import {
  bringIntoSight,
  drag,
  inEditor,
  job,
  makeGraph,
  medianGapWhileOrbiting,
  openEditor,
  press,
  readCamera,
  readPath,
  result,
  shoot,
  useEditor,
  viewBox,
  waitForSampled,
  writePath,
} from "./editor_page.mjs";

const FORMATS = { json: "JSON", npy: "NumPy", colmap: "COLMAP", nerfstudio: "nerfstudio", viewer: "3D viewer" };
const PASTED = [
  { time_sec: 0, position: [0, 0, 0] },
  { time_sec: 1.25, position: [0.5, -0.25, 1] },
];
const AT_START = [{ time_sec: 0, position: [1, 0, 2] }];
const LOOK_PIXELS = 200;
const STEER_MS = 900;

const panels = (page) => page.locator('[data-lingbot="panels"]');

async function openSection(page, title) {
  const head = panels(page).locator(`input.head[value*="${title}"]`);
  if ((await head.getAttribute("aria-expanded")) !== "true") await head.click();
}

/** Waits until the text in the node is another one than `before`. */
async function waitForChange(page, before) {
  for (let tries = 0; tries < 100; tries++) {
    if ((await readCamera(page)).keyframes !== before) return;
    await page.waitForTimeout(100);
  }
  throw new Error(`the path is still ${before.slice(0, 200)}`);
}

/** Does something that changes the path; returns the path that it becomes, once the editor has its samples. */
async function changed(page, act) {
  const before = (await readCamera(page)).keyframes;
  await inEditor(page, (editor) => (editor.sampledBefore = editor.sampled) && 1);
  await act();
  await waitForChange(page, before);
  await page.waitForFunction(() => {
    const { lingbotEditor: editor } = document.querySelector('[data-lingbot="camera-editor"]');
    return editor.sampled && editor.sampled !== editor.sampledBefore;
  });
  await page.waitForTimeout(100); // drawn
  return readPath(page);
}

function sampled(page) {
  return inEditor(page, (editor) => ({
    positions: editor.sampled.positions,
    rotations: editor.sampled.rotations,
    intrinsics: editor.sampled.intrinsics,
  }));
}

async function usePreset(page) {
  await press(page, "side");
  await openSection(page, "Presets");
  await panels(page).getByRole("radio", { name: job.preset.name }).click();
  for (const [name, value] of Object.entries(job.preset.options)) {
    await panels(page).getByLabel(name.replaceAll("_", " ")).fill(String(value));
  }
  result.preset = await changed(page, () => panels(page).locator('input[value="Use this preset"]').click());
  await shoot(page, "panels");
}

async function importExample(page) {
  await openSection(page, "Import and export");
  const picker = panels(page).getByLabel("Open files");
  result.imported = await changed(page, () => picker.setInputFiles(job.example));
  result.importedSample = await sampled(page);
  result.importWords = await panels(page).locator("ul.warnings").textContent();
}

/** Saves the path in every format, imports the file over another path, and compares what is then drawn. */
async function exportAndImport(page) {
  const picker = panels(page).getByLabel("Open files");
  await panels(page).getByLabel("Every pose a keyframe").check();
  const path = (await readCamera(page)).keyframes;
  result.again = {};
  for (const [format, label] of Object.entries(FORMATS)) {
    const waiting = page.waitForEvent("download");
    await panels(page).locator(`input[value="${label}"]`).click();
    const download = await waiting;
    const file = `${job.downloads}/${download.suggestedFilename()}`;
    await download.saveAs(file);
    await changed(page, () => writePath(page, PASTED));
    await changed(page, () => picker.setInputFiles(file));
    result.again[format] = await sampled(page);
    for (let steps = 0; steps < 2; steps++) await changed(page, () => press(page, "undo"));
    if ((await readCamera(page)).keyframes !== path) throw new Error("undo does not bring the path back");
  }
}

async function pasteText(page) {
  await openSection(page, "Path as text");
  const text = panels(page).getByLabel("Path as JSON text");
  result.pasted = await changed(page, async () => {
    await text.fill(JSON.stringify({ format: "lingbot-camera-path", version: 1, keyframes: PASTED }));
    await panels(page).locator('input[value="Apply text"]').click();
  });
  await press(page, "side");
}

async function useFullScreen(page) {
  const isFull = () => page.evaluate(() => document.fullscreenElement?.className ?? "");
  const before = await viewBox(page);
  await press(page, "full");
  await page.waitForFunction(() => document.fullscreenElement);
  await page.waitForTimeout(500);
  const { width, height } = await viewBox(page);
  result.full = { element: await isFull(), grown: [width / before.width, height / before.height] };
  result.full.medianGapMs = await medianGapWhileOrbiting(page);
  await shoot(page, "full");
  await page.keyboard.press("Escape");
  await page.waitForTimeout(500);
  result.full.after = await isFull();
  result.full.isOpen = await inEditor(page, (editor) => Boolean(editor));
}

/** Flies from a start with `steer`; the path before, after, and after one undo. */
async function flight(page, steer) {
  await changed(page, () => writePath(page, AT_START));
  await press(page, "fly");
  const flown = await changed(page, async () => {
    await steer();
    await page.keyboard.press("Escape");
  });
  await page.keyboard.press("Control+z");
  const undone = await readPath(page);
  await changed(page, () => writePath(page, PASTED));
  return { flown, numUndone: undone.keyframes.length };
}

async function lookWithMouse(page) {
  const box = await viewBox(page);
  const [x, y] = [box.x + box.width / 3, box.y + box.height / 2];
  result.look = await flight(page, async () => {
    await drag(page, [x, y], [x + LOOK_PIXELS, y]);
    await page.keyboard.down("w");
    await page.waitForTimeout(STEER_MS);
    await page.keyboard.up("w");
  });
}

async function flyWithGamepad(page) {
  const hold = (axes) =>
    page.evaluate((values) => {
      navigator.getGamepads = () => [null, { connected: true, axes: values, buttons: [] }];
    }, axes);
  result.pad = await flight(page, async () => {
    await hold([0, -1, 1, 0]);
    await page.waitForTimeout(STEER_MS);
    await hold([0.05, 0, 0, 0]);
    await page.waitForTimeout(100);
  });
}

/** Runs the graph and reads from the timeline what is computed, after it and after two edits. */
async function showComputed(page) {
  await page.evaluate(async (graph) => {
    const { app } = window;
    await app.loadApiJson(graph, "computed");
    const nodes = app.graph.nodes ?? app.graph._nodes;
    nodes.find(({ type }) => type === "LingBotCameraTrajectory").pos = [6000, 80]; // beside the others
  }, job.graph);
  await bringIntoSight(page);
  await openEditor(page);
  await bringIntoSight(page);
  await waitForSampled(page);
  const read = async () => ({
    words: await page.locator('[data-lingbot="timeline-bar"] output').textContent(),
    known: await inEditor(page, (editor) => editor.sampled.known_chunks),
    texts: await inEditor(page, (editor) => editor.sampled.text_events),
  });
  result.computed = { before: await read() };
  await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const { api } = window.app;
        setTimeout(() => reject(new Error("the run has not ended")), 90_000);
        api.addEventListener("execution_success", resolve);
        api.addEventListener("execution_error", ({ detail }) => reject(new Error(detail.exception_message)));
        window.app.queuePrompt(0, 1);
      }),
  );
  await page.waitForTimeout(1000);
  result.computed.after = await read();
  await shoot(page, "computed");
  const box = await viewBox(page);
  const nudge = async (name, presses) => {
    await page.mouse.click(box.x + 20, box.y + 20);
    await changed(page, async () => {
      for (let count = 0; count < presses; count++) await page.keyboard.press("]");
      await page.keyboard.press("ArrowRight");
    });
    result.computed[name] = await read();
    await page.keyboard.press("Control+z");
  };
  await nudge("late", 5);
  await nudge("early", 2);
}

useEditor({
  makeGraph,
  open: openEditor,
  bringIntoSight,
  usePreset,
  importExample,
  exportAndImport,
  pasteText,
  useFullScreen,
  lookWithMouse,
  flyWithGamepad,
  showComputed,
});
