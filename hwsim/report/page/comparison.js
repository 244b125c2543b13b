// What the page of a comparison draws beside panels: controllers in the plane of the trade-off, and paired differences.
const SHAPES = ["circle", "square", "diamond"];

function shape(svg, at, x, y, filled) {
  const colour = `var(--s${at % 6})`, kind = SHAPES[Math.floor(at / 6) % 3], size = 6;
  const look = {fill: filled ? colour : "var(--paper)", stroke: colour, "stroke-width": 2};
  if (kind === "circle") return element(svg, "svg:circle", {cx: x, cy: y, r: size, ...look});
  const turned = kind === "diamond" ? {transform: `rotate(45 ${x} ${y})`} : {};
  return element(svg, "svg:rect", {x: x - size, y: y - size, width: 2 * size, height: 2 * size, ...turned, ...look});
}
const written = (value) => String(+value.toPrecision(3));
const withEnds = ([mean, low, high], unit) => written(mean) + unit + (low === high ? "" : ` (${written(low)} to ${written(high)})`);
function span(values, share) {
  const low = Math.min(...values), high = Math.max(...values), margin = (high - low || Math.abs(high) || 1) * share;
  return [low - margin, high + margin];
}
function drawPoints(points) {
  const height = 360;
  const {legend, svg} = frame(document.getElementById("points"), "Right and on time (%) over energy (mJ per input)", height);
  const [left, right] = span(points.flatMap((each) => each.energy), 0.06), [low, high] = span(points.flatMap((each) => each.good), 0.08);
  const over = (value) => LEFT + (value - left) / (right - left) * across, up = (value) => height - (value - low) / (high - low) * height;
  for (const at of ticks(left, right, 8)) {
    element(svg, "svg:line", {x1: over(at), x2: over(at), y1: 0, y2: height, class: "axis"});
    element(svg, "svg:text", {x: over(at), y: height + 13, "text-anchor": "middle"}, `${short(at)} mJ`);
  }
  for (const at of ticks(low, high, 5)) {
    element(svg, "svg:line", {x1: LEFT, x2: WIDTH - RIGHT, y1: up(at), y2: up(at), class: "axis"});
    element(svg, "svg:text", {x: LEFT - 6, y: up(at) + 4, "text-anchor": "end"}, `${short(at)} %`);
  }
  const told = element(legend, "span", {class: "faint", id: "told"});
  points.forEach((each, at) => {
    const x = over(each.energy[0]), y = up(each.good[0]), group = element(svg, "svg:g", {class: "point", tabindex: 0});
    element(group, "svg:line", {x1: over(each.energy[1]), x2: over(each.energy[2]), y1: y, y2: y, stroke: `var(--s${at % 6})`});
    element(group, "svg:line", {x1: x, x2: x, y1: up(each.good[1]), y2: up(each.good[2]), stroke: `var(--s${at % 6})`});
    shape(group, at, x, y, each.front);
    const text = `${each.label}: ${withEnds(each.good, " %")} right and on time, ${withEnds(each.energy, " mJ")}, ${withEnds(each.missed, " %")} late or lost`;
    element(group, "svg:title", {}, text);
    for (const event of ["pointerenter", "focus"]) group.addEventListener(event, () => { told.textContent = text; });
    const key = element(document.getElementById("keys"), "span");
    shape(element(key, "svg:svg", {viewBox: "-9 -9 18 18", class: "shape"}), at, 0, 0, each.front);
    element(key, "span", {}, each.label);
  });
}
function drawDifferences({title, rows}) {
  const row = 20, name = 230, height = row * rows.length;
  const {svg} = frame(document.getElementById("differences"), title, height);
  const [low, high] = span(rows.flatMap((each) => each.ends).concat(0), 0.05), over = (value) => name + (value - low) / (high - low) * (WIDTH - RIGHT - 190 - name);
  for (const at of ticks(low, high, 6)) {
    element(svg, "svg:line", {x1: over(at), x2: over(at), y1: 0, y2: height, class: "axis"});
    element(svg, "svg:text", {x: over(at), y: height + 13, "text-anchor": "middle"}, short(at));
  }
  element(svg, "svg:line", {x1: over(0), x2: over(0), y1: 0, y2: height, stroke: "var(--ink)"});
  rows.forEach(({label, ends: [mean, from, to]}, at) => {
    const y = row * (at + 0.5), colour = from > 0 || to < 0 ? "var(--s1)" : "var(--faint)";
    element(svg, "svg:text", {x: name - 10, y: y + 4, "text-anchor": "end"}, label.length > 36 ? `${label.slice(0, 35)}…` : label);
    element(svg, "svg:line", {x1: over(from), x2: over(to), y1: y, y2: y, stroke: colour, "stroke-width": 3});
    element(svg, "svg:circle", {cx: over(mean), cy: y, r: 4, fill: colour});
    element(svg, "svg:text", {x: WIDTH - RIGHT, y: y + 4, "text-anchor": "end"}, withEnds([mean, from, to], ""));
  });
}
element(document.getElementById("points"), "div", {class: "legend", id: "keys"});
if (drawn.points.length) drawPoints(drawn.points);
drawn.differences.forEach(drawDifferences);
drawn.panels.forEach(drawPanel);
redraw();
readers.forEach(listen);
