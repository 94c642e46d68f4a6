// node draw.mjs OUT < {panels, page}, in a directory with node_modules: bundles panels.jsx, and writes a PNG of each
// picture of panels, and one of a worker's page.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const installed = createRequire(`${process.cwd()}/`); // the packages are where we are called, not beside this file
const { build } = installed("esbuild");
const { chromium } = installed("playwright-core");
const png = installed("upng-js");

const SCALE = 1.3; // pixels of the picture for one of the page: sharp on most screens, and small
const COLOURS = 64; // as many as a reader can tell apart here, in a file a third as large
const EMPTY = "<!doctype html><body></body>";

// What Grafana's components ask its server for, from the packages that have it: icons, and the font in two weights.
const INTER = "node_modules/@fontsource/inter/files/inter-latin";
const SERVED = [
  [/^\/(public\/img\/icons\/.*)$/, "node_modules/@grafana/ui/dist/$1"],
  [/^.*Inter-Regular\.woff2$/, `${INTER}-400-normal.woff2`],
  [/^.*Inter-Medium\.woff2$/, `${INTER}-500-normal.woff2`],
];

const out = process.argv[2];
const { panels: drawn, page: document } = JSON.parse(readFileSync(0, "utf8"));

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("panels.jsx", import.meta.url))],
  nodePaths: [path.resolve("node_modules")],
  bundle: true,
  write: false,
  outdir: "bundle",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
  loader: { ".ttf": "empty" }, // the icons of an editor
  logLevel: "error",
});
const made = (ending) => bundle.outputFiles.find((file) => file.path.endsWith(ending)).text;

// The page has an address, because one without has no localStorage, but no server.
function answer(route) {
  const { pathname } = new URL(route.request().url());
  if (pathname === "/") return route.fulfill({ contentType: "text/html", body: EMPTY });
  const [pattern, file] = SERVED.find(([asked]) => asked.test(pathname)) ?? [];
  return pattern ? route.fulfill({ path: pathname.replace(pattern, file) }) : route.fulfill({ status: 404 });
}

async function write(name, shot) {
  const whole = png.decode(await shot);
  const small = png.encode(png.toRGBA8(whole), whole.width, whole.height, COLOURS);
  writeFileSync(path.join(out, name), Buffer.from(small));
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1200 }, deviceScaleFactor: SCALE });
  page.on("pageerror", (error) => { throw error; });
  await page.route("**", answer);
  await page.goto("http://localhost/");
  await page.addStyleTag({ content: made(".css") });
  await page.addScriptTag({ content: made(".js") });
  await page.evaluate((pictures) => window.draw(pictures), drawn);
  for (const { file } of drawn) {
    await write(file, page.locator(`[id="${file}"]`).screenshot());
  }
  const narrow = await browser.newPage({ viewport: { width: 1000, height: 400 }, deviceScaleFactor: SCALE });
  await narrow.setContent(document);
  await write("page.png", narrow.screenshot({ fullPage: true }));
} finally {
  await browser.close();
}
