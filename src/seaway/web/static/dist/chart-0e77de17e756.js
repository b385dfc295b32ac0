// Replaces the server's SVG charts with uPlot charts. Both show the numbers of the table below them, and the colors are
// those of the SVG. Choosing a period or a split replaces the section, not the page.
const DAY = 86_400;
const HEIGHT = 190;
const UNITS = ["B", "kB", "MB", "GB", "TB"];
let plots = [];
let asked = 0;

const isoDay = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
const countText = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : "");
function sizeText(value) {
  let unit = 0;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${Math.round(value * 10) / 10} ${UNITS[unit]}`;
}

// The days of the chart, and the values of each band on them; days without a row are 0 downloads, or an unknown size.
function readTable(place) {
  const rows = new Map();
  for (const row of place.querySelectorAll("[data-day]")) rows.set(row.dataset.day, row.dataset.values.split(" ").map(Number));
  const bands = rows.values().next().value?.length ?? 0;
  const missing = place.dataset.plot === "bars" ? 0 : null;
  const days = [], values = Array.from({ length: bands }, () => []);
  for (let day = Date.parse(place.dataset.first) / 1000; day <= Date.parse(place.dataset.last) / 1000; day += DAY) {
    const row = rows.get(isoDay(day));
    days.push(day);
    values.forEach((band, index) => band.push(row?.[index] ?? missing));
  }
  return [days, values];
}

// Bars are stacked by drawing the sum of all bands first, and each smaller sum over it.
function stack(values) {
  const sums = [];
  for (const band of values) sums.push(band.map((value, day) => value + (sums.at(-1)?.[day] ?? 0)));
  return sums;
}

function captionOf(place, day) {
  const cells = place.querySelector(`[data-day="${day}"]`)?.cells;
  if (!cells) return `${day}: ${place.dataset.none}`;
  const names = [...place.querySelectorAll("th")].slice(1).map((cell) => cell.textContent);
  const parts = names.map((name, index) => [name, cells[index + 1].textContent]).filter(([, text]) => text !== "0");
  return `${day}: ${parts.map(([name, text]) => `${name} ${text}`).join(", ")}`;
}

function seriesOf(place, drawing, count) {
  const look = (selector, property) => getComputedStyle(drawing.querySelector(selector))[property];
  if (place.dataset.plot === "line") {
    return [{ stroke: look(".edge", "stroke"), fill: look(".area", "fill"), width: 1.5, spanGaps: true, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }];
  }
  const fills = [...drawing.querySelectorAll("path")].map((path) => getComputedStyle(path).fill);
  return Array.from({ length: count }, (_, index) => (
    { fill: fills[count - 1 - index], width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.76, 40], align: 0 }) }
  ));
}

function options(place, drawing, caption, days, count) {
  const line = getComputedStyle(drawing.querySelector("line")).stroke, text = getComputedStyle(caption).color;
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const isSize = place.dataset.plot === "line", format = isSize ? sizeText : countText;
  return {
    width: place.querySelector("[data-canvas]").clientWidth, height: HEIGHT, legend: { show: false }, padding: [12, 20, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { x: { range: (_, from, to) => [from - DAY / 2, to + DAY / 2] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.05)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 32, values: days.length > 100 ? "{MMM} {YYYY}" : "{D} {MMM}" },
      { ...axis, values: (_, values) => values.map(format), size: isSize ? 64 : 48 },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    series: [{}, ...seriesOf(place, drawing, count)],
    hooks: {
      setCursor: [({ cursor: { idx } }) => {
        caption.textContent = idx === null || idx === undefined ? caption.dataset.usual : captionOf(place, isoDay(days[idx]));
      }],
    },
  };
}

function draw() {
  for (const plot of plots) plot.destroy();
  plots = [...document.querySelectorAll("[data-plot]")].map((place) => {
    const drawing = place.querySelector("svg"), caption = place.querySelector("[data-caption]");
    caption.dataset.usual ??= caption.textContent;
    drawing.style.display = "none";
    const [days, values] = readTable(place);
    const drawn = place.dataset.plot === "bars" ? stack(values).reverse() : values;
    return new uPlot(options(place, drawing, caption, days, drawn.length), [days, ...drawn], place.querySelector("[data-canvas]"));
  });
}

// The section of a page; null if the page has none, or cannot be fetched.
async function fetchSection(address) {
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    const text = response.ok ? await response.text() : "";
    return new DOMParser().parseFromString(text, "text/html").querySelector("[data-chart-section]");
  } catch { return null; }
}

async function update(address) {
  const number = ++asked;
  const next = await fetchSection(address);
  if (number !== asked) return; // another choice was made meanwhile
  if (!next) { location.assign(address); return; }
  const focused = document.activeElement?.id, opened = [...document.querySelectorAll("[data-plot] details")].map((one) => one.open);
  document.querySelector("[data-chart-section]").replaceWith(next);
  next.querySelectorAll("[data-plot] details").forEach((one, index) => { one.open = opened[index] ?? false; });
  history.replaceState(null, "", address);
  setUp();
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  next.querySelector("[data-status]").textContent = next.querySelector("[data-sum]").textContent;
}

function setUp() {
  draw();
  const section = document.querySelector("[data-chart-section]");
  for (const link of section.querySelectorAll("a[data-choice]")) {
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      const address = new URL(link.href);
      address.hash = "";
      update(address);
    });
  }
  const form = section.querySelector("form");
  const send = () => {
    const address = new URL(form.action);
    address.hash = "";
    address.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    update(address);
  };
  form?.querySelector("button").remove();
  form?.addEventListener("change", send);
  form?.addEventListener("submit", (event) => { event.preventDefault(); send(); });
}

setUp();
// Draw again when the width or the theme changes.
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
