// Draws src/depth.svg, the only ornament: depth lines of an imaginary coast. Run once (`node depth-lines.mjs`); the output is committed.
import { writeFileSync } from "node:fs";
import { contours } from "d3-contour";

const [columns, rows, scale] = [96, 60, 12];
// Shoals and deeps: x, y (0 to 1), width, height.
const shapes = [
  [0.93, 0.2, 0.2, 1.0], [0.7, 0.62, 0.16, 0.62], [0.42, 0.22, 0.17, 0.5], [0.18, 0.78, 0.2, 0.7],
  [0.98, 0.9, 0.24, 0.8], [0.55, 0.95, 0.1, 0.35], [0.08, 0.1, 0.16, 0.45], [0.3, 0.5, 0.09, -0.3],
];
const depth = (x, y) =>
  shapes.reduce((sum, [cx, cy, wide, high]) => sum + high * Math.exp(-(((x - cx) * 1.6) ** 2 + (y - cy) ** 2) / (2 * wide * wide)), 0) +
  0.035 * Math.sin(9 * x + 4 * y) + 0.03 * Math.cos(13 * y - 5 * x);
const values = Array.from({ length: columns * rows }, (_, i) => depth((i % columns) / columns, Math.floor(i / columns) / rows));
const levels = [0.16, 0.24, 0.32, 0.4, 0.48, 0.57, 0.66, 0.76, 0.87];
const at = ([x, y]) => `${Math.round(x * scale)} ${Math.round(y * scale)}`;
const middle = ([ax, ay], [bx, by]) => [(ax + bx) / 2, (ay + by) / 2];
const isEdge = ([x, y]) => x < 0.6 || y < 0.6 || x > columns - 0.6 || y > rows - 0.6;

function smooth(ring) {
  // d3 closes each contour along the edge; depth lines on a chart stay open there.
  const points = ring.filter((_, i) => i % 2 === 0 || isEdge(ring[i]));
  let path = "", before = null;
  for (let i = 0; i < points.length; i++) {
    const [here, next] = [points[i], points[(i + 1) % points.length]];
    if (isEdge(here) && isEdge(next)) { before = null; continue; }
    if (before === null) path += `M${at(here)}`;
    path += `Q${at(here)} ${at(middle(here, next))}`;
    before = here;
  }
  return path;
}

const lines = contours().size([columns, rows]).thresholds(levels)(values).map(({ coordinates }, i) => {
  const path = coordinates.flat().filter((ring) => ring.length > 10).map(smooth).join("");
  return `<path stroke-width="${i % 3 === 0 ? 1.5 : 0.9}" d="${path}"/>`;
});
writeFileSync(
  new URL("src/depth.svg", import.meta.url),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${columns * scale} ${rows * scale}" preserveAspectRatio="xMidYMid slice" fill="none" stroke="#000">\n${lines.join("\n")}\n</svg>\n`,
);
