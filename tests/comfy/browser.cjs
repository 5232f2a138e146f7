// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Loads graphs in a headless browser and prints, as JSON, what was found. Started by browser.py.
// Argument: JSON {url, chromium, module, graphs: [{name, ui, shot?, run?, toEnd?}], templates?: file, width, height}

const job = JSON.parse(process.argv[2])
const { chromium } = require(job.module)

const APP_READY_MS = 120000
const MARGIN = 24
const PREVIEW_MS = 60000
const RUN_MS = 120000

async function openPage(context) {
  const page = await context.newPage()
  const problems = []
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push({ text: message.text(), source: message.location().url })
  })
  page.on('pageerror', (error) => problems.push({ text: String(error.stack || error), source: '' }))
  page.on('response', (response) => {
    if (response.status() >= 400) problems.push({ text: `HTTP ${response.status()}`, source: response.url() })
  })
  await page.goto(job.url)
  await page.waitForFunction(
    () => window.app?.graph && window.LiteGraph?.registered_node_types?.LingBotSaveRollout,
    null,
    { timeout: APP_READY_MS }
  )
  await page.waitForTimeout(1500)
  await page.keyboard.press('Escape') // a first visit opens the templates
  await page.waitForTimeout(500)
  return { page, problems }
}

async function loadGraph(page, graph) {
  return page.evaluate(async (ui) => {
    await window.app.loadGraphData(ui)
    const nodes = window.app.graph.nodes ?? window.app.graph._nodes
    const known = window.LiteGraph.registered_node_types
    return {
      missing: nodes.map((node) => node.type).filter((type) => !(type in known)),
      count: nodes.length
    }
  }, graph.ui)
}

// Shows the whole graph and returns where it is on the page.
async function fitView(page) {
  return page.evaluate((margin) => {
    const { canvas, graph } = window.app
    const nodes = graph.nodes ?? graph._nodes
    const boxes = nodes.map((node) => ({ x: node.pos[0], y: node.pos[1] - 30, w: node.size[0], h: node.size[1] + 30 }))
    const left = Math.min(...boxes.map((box) => box.x))
    const top = Math.min(...boxes.map((box) => box.y))
    const width = Math.max(...boxes.map((box) => box.x + box.w)) - left
    const height = Math.max(...boxes.map((box) => box.y + box.h)) - top
    const area = canvas.canvas.getBoundingClientRect()
    const inset = { left: 80, top: 120, right: 30, bottom: 40 } // the page's own bars
    const room = { w: area.width - inset.left - inset.right, h: area.height - inset.top - inset.bottom }
    const scale = Math.min(room.w / width, room.h / height, 1)
    canvas.ds.scale = scale
    canvas.ds.offset = [inset.left / scale - left, inset.top / scale - top]
    canvas.setDirty(true, true)
    return {
      x: Math.max(area.left + inset.left - margin, 0),
      y: Math.max(area.top + inset.top - margin, 0),
      width: Math.min(width * scale + 2 * margin, area.width - inset.left + margin),
      height: Math.min(height * scale + 2 * margin, area.height - inset.top + margin)
    }
  }, MARGIN)
}

async function shoot(page, path, quality = 85) {
  const clip = await fitView(page)
  await page.waitForTimeout(1500)
  await page.screenshot({ path, clip, type: 'jpeg', quality })
}

// Runs the loaded graph and takes the picture when the sampler shows a preview. With toEnd returns how the run ends.
async function run(page, { shot, toEnd }) {
  await page.evaluate((limit) => {
    const ends = ['execution_success', 'execution_error', 'execution_interrupted']
    window.lingbotRunEnd = new Promise((resolve) => {
      ends.forEach((name) => window.app.api.addEventListener(name, () => resolve(name), { once: true }))
      setTimeout(() => resolve('no end'), limit)
    })
  }, RUN_MS)
  const seen = page.evaluate(
    (limit) =>
      new Promise((resolve, reject) => {
        const events = ['b_preview_with_metadata', 'b_preview']
        const done = () => resolve(true)
        events.forEach((name) => window.app.api.addEventListener(name, done, { once: true }))
        setTimeout(() => reject(new Error('no preview came')), limit)
      }),
    PREVIEW_MS
  )
  await page.evaluate(() => window.app.queuePrompt(0, 1))
  await seen
  await shoot(page, shot)
  if (!toEnd) return ''
  const end = await page.evaluate(() => window.lingbotRunEnd)
  await page.waitForTimeout(1500) // what the page makes of the results
  return end
}

async function showTemplates(page, path) {
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates'))
  await page.waitForTimeout(2500)
  const entry = page.getByText('ComfyUI-LingBot-World', { exact: false }).first()
  let listed = await entry.count()
  if (listed) {
    await entry.click()
  } else {
    const extensions = page.getByText('Extensions', { exact: true }).first()
    if (await extensions.count()) await extensions.click()
  }
  await page.waitForTimeout(2500)
  await page.screenshot({ path, type: 'jpeg', quality: 85 })
  const pictures = await page.evaluate(() =>
    [...document.querySelectorAll('img')]
      .filter((image) => image.src.includes('/workflow_templates/') || image.src.startsWith('blob:'))
      .map((image) => ({ src: image.src, width: image.naturalWidth }))
  )
  return { pictures, text: await page.evaluate(() => document.body.innerText) }
}

async function main() {
  const browser = await chromium.launch({
    executablePath: job.chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  })
  const result = { graphs: {} }
  try {
    const context = await browser.newContext({ viewport: { width: job.width, height: job.height } })
    const { page, problems } = await openPage(context)
    for (const graph of job.graphs) {
      const loaded = await loadGraph(page, graph)
      await page.waitForTimeout(800)
      const api = await page.evaluate(async () => (await window.app.graphToPrompt()).output)
      const end = graph.run ? await run(page, graph) : ''
      if (graph.shot && !graph.run) await shoot(page, graph.shot)
      result.graphs[graph.name] = { ...loaded, api, end }
    }
    if (job.templates) result.templates = await showTemplates(page, job.templates)
    result.problems = problems
  } finally {
    await browser.close()
  }
  console.log(JSON.stringify(result))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
