// Replaces the server's SVG chart of downloads with a uPlot chart. Both show the numbers of the table below them.
// The colors are those of the SVG. Changing a form field replaces the section, not the page.
const DAY = 86_400;
const HEIGHT = 190;
let section = document.querySelector("[data-downloads]");
let plot = null;

function dailyCounts(section, place) {
  const counts = new Map();
  for (const row of section.querySelectorAll("[data-day]")) counts.set(row.dataset.day, Number(row.dataset.count));
  const days = [], values = [];
  const last = Date.parse(place.dataset.last) / 1000;
  for (let day = Date.parse(place.dataset.first) / 1000; day <= last; day += DAY) {
    days.push(day);
    values.push(counts.get(new Date(day * 1000).toISOString().slice(0, 10)) ?? 0);
  }
  return [days, values];
}

function options(width, drawing, caption, numbers) {
  const look = (selector, property) => getComputedStyle(drawing.querySelector(selector))[property];
  const bar = look("rect", "fill"), line = look("line", "stroke"), text = getComputedStyle(caption).color;
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const whole = (_, values) => values.map((value) => (Number.isInteger(value) ? value.toLocaleString("en") : ""));
  return {
    width, height: HEIGHT, legend: { show: false }, padding: [12, 4, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { range: (_, from, to) => [from - DAY / 2, to + DAY / 2] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.05)] } },
    axes: [{ ...axis, grid: { show: false }, space: 64, values: numbers[0].length > 100 ? "{MMM} {YYYY}" : "{D} {MMM}" }, { ...axis, values: whole, size: 48 }],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    series: [{}, { fill: bar, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.76, 40], align: 0 }) }],
    hooks: {
      setCursor: [({ cursor: { idx } }) => {
        const count = numbers[1][idx];
        caption.textContent = idx === null || count === undefined ? caption.dataset.usual
          : `${new Date(numbers[0][idx] * 1000).toISOString().slice(0, 10)}: ${count.toLocaleString("en")} ${count === 1 ? "download" : "downloads"}`;
      }],
    },
  };
}

function draw() {
  plot?.destroy();
  plot = null;
  const place = section.querySelector("[data-plot]");
  if (!place) return;
  const drawing = place.querySelector("svg"), caption = section.querySelector("[data-caption]");
  caption.dataset.usual ??= caption.textContent;
  drawing.style.display = "none";
  const canvas = place.querySelector("[data-canvas]");
  const numbers = dailyCounts(section, place);
  plot = new uPlot(options(canvas.clientWidth, drawing, caption, numbers), numbers, canvas);
}

async function updateSection(form) {
  const address = new URL(form.action);
  address.hash = "";
  address.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (!response.ok) { form.submit(); return; }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.id;
  const next = page.querySelector("[data-downloads]");
  section.replaceWith(next);
  section = next;
  history.replaceState(null, "", address);
  setUp();
  if (focused) document.getElementById(focused)?.focus();
  section.querySelector("[data-status]").textContent = section.querySelector("[data-sum]").textContent;
}

function setUp() {
  draw();
  const form = section.querySelector("form");
  form?.querySelector("button").remove();
  form?.addEventListener("change", () => updateSection(form));
  form?.addEventListener("submit", (event) => { event.preventDefault(); updateSection(form); });
}

setUp();
// Draw again when the width or the theme changes.
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
