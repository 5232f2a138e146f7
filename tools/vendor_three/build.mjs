// SPDX-FileCopyrightText: 2026 ComfyUI-LingBot-World contributors
// SPDX-License-Identifier: Apache-2.0
// Builds js/vendor/three.mjs and its licence and version from the lock file: `npm ci && npm run build`.
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const vendor = fileURLToPath(new URL("../../js/vendor/", import.meta.url));
const { version } = JSON.parse(await readFile(`${here}node_modules/three/package.json`, "utf8"));

await mkdir(vendor, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: ["entry.mjs"],
  outfile: `${vendor}three.mjs`,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  banner: {
    js: `/* three.js ${version}, three.js authors, see three.LICENSE. Built by tools/vendor_three; do not edit.\n * SPDX-License-Identifier: MIT */`,
  },
});
await copyFile(`${here}node_modules/three/LICENSE`, `${vendor}three.LICENSE`);
await writeFile(`${vendor}three.VERSION`, `${version}\n`);
console.log(`js/vendor/three.mjs: three.js ${version}`);
