// Draws the downloads of a package with uPlot in the place of the server's drawing, from the table that both share.
// Its colours are those that the style gives to the server's drawing; another choice replaces the section, not the page.
const DAY = 86_400;
const HEIGHT = 190;
let section = document.querySelector("[data-downloads]");
let plot = null;

function numbersOf(part, place) {
  const counts = new Map();
  for (const row of part.querySelectorAll("[data-day]")) counts.set(row.dataset.day, Number(row.dataset.count));
  const days = [], values = [];
  const last = Date.parse(place.dataset.last) / 1000;
  for (let day = Date.parse(place.dataset.first) / 1000; day <= last; day += DAY) {
    days.push(day);
    values.push(counts.get(new Date(day * 1000).toISOString().slice(0, 10)) ?? 0);
  }
  return [days, values];
}

function options(width, drawing, told, numbers) {
  const look = (selector, property) => getComputedStyle(drawing.querySelector(selector))[property];
  const bar = look("rect", "fill"), line = look("line", "stroke"), text = getComputedStyle(told).color;
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
        told.textContent = idx === null || count === undefined ? told.dataset.usual
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
  const drawing = place.querySelector("svg"), told = section.querySelector("[data-told]");
  told.dataset.usual ??= told.textContent;
  drawing.style.display = "none";
  const canvas = place.querySelector("[data-canvas]");
  const numbers = numbersOf(section, place);
  plot = new uPlot(options(canvas.clientWidth, drawing, told, numbers), numbers, canvas);
}

async function choose(form) {
  const address = new URL(form.action);
  address.hash = "";
  address.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) { form.submit(); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.id;
  const next = page.querySelector("[data-downloads]");
  section.replaceWith(next);
  section = next;
  history.replaceState(null, "", address);
  ready();
  if (focused) document.getElementById(focused)?.focus();
  section.querySelector("[data-said]").textContent = section.querySelector("[data-sum]").textContent;
}

function ready() {
  draw();
  const form = section.querySelector("form");
  form?.querySelector("button").remove();
  form?.addEventListener("change", () => choose(form));
  form?.addEventListener("submit", (event) => { event.preventDefault(); choose(form); });
}

ready();
// The width that it was drawn for, and the chart by day or by night, may change.
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
