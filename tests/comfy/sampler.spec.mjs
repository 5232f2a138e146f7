// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Adds a sampler as a person does, loads saved ones, and prints, as JSON, what becomes of their seeds. Started by
// test_sampler_seed.py with {saved: {name: graph in UI format}, api: graph in API format}; see useEditor.
import { job, result, useEditor } from "./editor_page.mjs";

const SAMPLER_NODE = "LingBotStreamingSampler";
const SAMPLER_NAME = "LingBot Streaming Sampler";

/** Values of the seed and of what happens to it after a run, of every sampler. */
function readSeeds(page) {
  return page.evaluate((type) => {
    const nodes = window.app.graph.nodes ?? window.app.graph._nodes;
    const value = (node, name) => node.widgets.find((widget) => widget.name === name)?.value;
    return nodes
      .filter((node) => node.type === type)
      .map((node) => [value(node, "seed"), value(node, "control_after_generate")]);
  }, SAMPLER_NODE);
}

/** From the search box, which a double click on the empty canvas opens. */
async function add(page) {
  const empty = { last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], version: 0.4 };
  await page.evaluate((graph) => window.app.loadGraphData(graph), empty);
  await page.waitForTimeout(500);
  await page.mouse.dblclick(900, 500);
  await page.waitForFunction(() => document.activeElement?.tagName === "INPUT");
  await page.keyboard.type(SAMPLER_NAME, { delay: 20 });
  await page.waitForFunction((name) => document.body.innerText.includes(name), SAMPLER_NAME);
  await page.waitForTimeout(500);
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    (type) => (window.app.graph.nodes ?? window.app.graph._nodes).some((node) => node.type === type),
    SAMPLER_NODE,
  );
  await page.waitForTimeout(500);
  result.added = await readSeeds(page);
}

/** The added node once more, and after the user has chosen otherwise. */
async function copy(page) {
  result.copied = await page.evaluate((type) => {
    const { graph } = window.app;
    const node = (graph.nodes ?? graph._nodes).find((other) => other.type === type);
    const control = (each) => each.widgets.find(({ name }) => name === "control_after_generate");
    control(node).value = "decrement";
    const clone = node.clone();
    graph.add(clone);
    return control(clone).value;
  }, SAMPLER_NODE);
  await page.evaluate(async () => {
    const saved = window.app.graph.serialize();
    await window.app.loadGraphData(JSON.parse(JSON.stringify(saved)));
  });
  result.reloaded = await readSeeds(page);
}

async function load(page) {
  result.loaded = {};
  for (const [name, graph] of Object.entries(job.saved)) {
    await page.evaluate((ui) => window.app.loadGraphData(ui), graph);
    await page.waitForTimeout(500);
    result.loaded[name] = await readSeeds(page);
  }
  await page.evaluate((api) => window.app.loadApiJson(api, "api"), job.api);
  await page.waitForTimeout(500);
  result.fromApi = await readSeeds(page);
}

/** What is left of the seed when the same graph is queued twice. */
async function run(page) {
  result.ran = {};
  for (const [name, graph] of Object.entries(job.saved)) {
    await page.evaluate((ui) => window.app.loadGraphData(ui), graph);
    await page.evaluate(() => window.app.queuePrompt(0, 1));
    await page.waitForTimeout(500);
    result.ran[name] = await readSeeds(page);
  }
}

await useEditor({ add, copy, load, run });
