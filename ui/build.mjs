// Builds hashed assets and a manifest: `node build.mjs [FOLDER]`. The same sources give the same bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import subsetFont from "subset-font";
import { icons } from "./icons.mjs";

const here = import.meta.dirname;
const web = process.argv[2] ? resolve(process.argv[2]) : resolve(here, "../src/seaway/web");
const dist = join(web, "static/dist");
const manifest = {};
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
mkdirSync(join(web, "templates"), { recursive: true });

function put(name, content) {
  const bytes = Buffer.from(content);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const dot = name.lastIndexOf(".");
  const hashed = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
  writeFileSync(join(dist, hashed), bytes);
  manifest[name] = hashed;
  return hashed;
}

const read = (path) => readFileSync(join(here, path));
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i)).join("");
// Characters of western European languages and punctuation; all others use the reader's fonts.
const written = range(0x20, 0x7e) + range(0xa0, 0xff) + "ıŒœŠšŸŽžłŁ–—‘’‚“”„†‡•…‹›€™←↑→↓−≈≤≥×";

async function fonts() {
  const inter = await subsetFont(read("node_modules/@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"), written, {
    targetFormat: "woff2", variationAxes: { wght: { min: 400, max: 700, default: 400 } },
  });
  const mono = await subsetFont(read("node_modules/@fontsource/ibm-plex-mono/files/ibm-plex-mono-latin-400-normal.woff2"), written, { targetFormat: "woff2" });
  put("inter.woff2", inter);
  put("mono.woff2", mono);
}

function style() {
  const scratch = mkdtempSync(join(tmpdir(), "seaway-ui-"));
  const out = join(scratch, "out.css");
  execFileSync(join(here, "node_modules/.bin/tailwindcss"), ["-i", "src/seaway.css", "-o", out, "--minify"], { cwd: here, stdio: ["ignore", "ignore", "pipe"] });
  const css = readFileSync(out, "utf8").replace(/url\((["']?)asset:([^)"']+)\1\)/g, (_, __, name) => {
    if (!manifest[name]) throw new Error(`the style names ${name}, which does not exist`);
    return `url(${manifest[name]})`;
  });
  rmSync(scratch, { recursive: true });
  // The Content-Security-Policy of the pages allows this site only, so a URL of another site would be a broken image.
  const foreign = css.match(/url\((?!["']?[a-z]+-[0-9a-f]{12}\.)[^)]{0,80}/) ?? css.match(/@import[^;]*/);
  if (foreign) throw new Error(`the style loads ${foreign[0]}`);
  put("seaway.css", css);
}

function iconMacros() {
  const inner = (name) => read(`node_modules/lucide-static/icons/${name}.svg`).toString()
    .replace(/[\s\S]*?<svg[^>]*>/, "").replace("</svg>", "").replace(/\s*\n\s*/g, "").trim();
  const rows = icons.map((name) => `  "${name}": '${inner(name)}',`).join("\n");
  writeFileSync(join(web, "templates/icons.html"), `{# Written by ui/build.mjs. Icons: Lucide (ISC). #}
{% set drawn = {
${rows}
} %}
{% macro icon(name, class="") %}<svg class="icon {{ class }}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{{ drawn[name] | safe }}</svg>{% endmacro %}
`);
}

function licenses() {
  const parts = [
    ["Inter", "node_modules/@fontsource-variable/inter/LICENSE"], ["IBM Plex Mono", "node_modules/@fontsource/ibm-plex-mono/LICENSE"],
    ["Lucide", "node_modules/lucide-static/LICENSE"], ["htmx", "node_modules/htmx.org/LICENSE"],
    ["Tailwind CSS", "node_modules/tailwindcss/LICENSE"], ["daisyUI", "node_modules/daisyui/LICENSE"],
    ["uPlot", "node_modules/uplot/LICENSE"],
  ];
  writeFileSync(join(dist, "LICENSES.txt"), parts.map(([name, path]) => `${name}\n${"=".repeat(name.length)}\n\n${read(path).toString().trim()}\n`).join("\n\n"));
}

await fonts();
for (const name of ["depth.svg", "mark.svg"]) put(name, read(`src/${name}`));
iconMacros(); // before style(): Tailwind reads the templates
style();
for (const name of ["theme.js", "page.js", "passkeys.js", "uploader.js", "hashing.js", "chart.js", "install.js", "forms.js", "search.js"]) put(name, read(`src/${name}`));
put("htmx.js", read("node_modules/htmx.org/dist/htmx.min.js").toString().replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n"));
put("uplot.js", read("node_modules/uplot/dist/uPlot.iife.min.js"));
licenses();
writeFileSync(join(dist, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
