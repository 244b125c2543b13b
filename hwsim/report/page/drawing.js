"use strict";
// Panels over one common axis of time, drawn as SVG from the numbers in the page; what every page shares.
const drawn = JSON.parse(document.getElementById("drawn").textContent);
const WIDTH = 1030, LEFT = 58, RIGHT = 12, HEIGHT = 112, FOOT = 18;
const across = WIDTH - LEFT - RIGHT;
const view = {from: 0, to: drawn.end};
const redraws = [], readers = [];

function element(parent, name, attributes = {}, text = "") {
  const svg = name.startsWith("svg:");
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}
const seconds = (x) => view.from + (x - LEFT) / across * (view.to - view.from);
const place = (time) => LEFT + (time - view.from) / (view.to - view.from) * across;
const short = (value) => String(+value.toPrecision(4));

function ticks(low, high, about) {
  const raw = (high - low) / about || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((of) => of * power).find((of) => of >= raw);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at++) found.push(+(at * step).toPrecision(12));
  return found;
}
function timeAxis(svg, height) {
  for (const at of ticks(view.from, view.to, 8)) {
    element(svg, "svg:line", {x1: place(at), x2: place(at), y1: 0, y2: height, class: "axis"});
    element(svg, "svg:text", {x: place(at), y: height + 13, "text-anchor": "middle"}, `${short(at)} s`);
  }
}
// The value that holds at a time: that of the last point before it.
function valueAt(line, time) {
  let low = 0, high = line.seconds.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (line.seconds[middle] <= time) low = middle; else high = middle - 1;
  }
  return line.values[low];
}
function frame(parent, title, height) {
  const figure = element(parent, "figure");
  const legend = element(figure, "figcaption", {class: "legend"});
  element(legend, "b", {}, title);
  const svg = element(figure, "svg:svg", {viewBox: `0 0 ${WIDTH} ${height + FOOT}`, role: "img", "aria-label": title});
  return {legend, svg};
}
function drawPanel(panel) {
  const {legend, svg} = frame(document.getElementById("panels"), `${panel.title} (${panel.unit})`, HEIGHT);
  const dashes = ["", "7 3", "2 2", "9 3 2 3"];
  const told = panel.lines.map((line, at) => {
    const entry = element(legend, "span");
    const key = element(entry, "i", {class: "key"});
    key.style.color = `var(--s${at % 6})`;
    key.style.borderTopStyle = ["solid", "dashed", "dotted"][at % 3];
    return element(entry, "span", {}, line.name);
  });
  redraws.push(() => {
    svg.replaceChildren();
    const all = panel.lines.flatMap((line) => line.values).concat(panel.marks.map((mark) => mark.value));
    let low = Math.min(...all), high = Math.max(...all);
    // Near zero, and where next to nothing changes, the axis begins at zero, so that noise does not look like news.
    if (low > 0 && (low < 0.6 * high || high - low < 0.05 * high)) low = 0;
    const margin = (high - low || 1) * 0.06;
    high += margin; if (low !== 0) low -= margin;
    const up = (value) => HEIGHT - (value - low) / (high - low) * HEIGHT;
    timeAxis(svg, HEIGHT);
    for (const at of ticks(low, high, 3)) {
      element(svg, "svg:line", {x1: LEFT, x2: WIDTH - RIGHT, y1: up(at), y2: up(at), class: "axis"});
      element(svg, "svg:text", {x: LEFT - 6, y: up(at) + 4, "text-anchor": "end"}, short(at));
    }
    panel.marks.forEach((mark, at) => {
      element(svg, "svg:line", {x1: LEFT, x2: WIDTH - RIGHT, y1: up(mark.value), y2: up(mark.value), stroke: "var(--s1)", "stroke-dasharray": "6 4"});
      element(svg, "svg:text", {x: WIDTH - RIGHT - 70 * at, y: up(mark.value) - 3, "text-anchor": "end", class: "mark"}, `${mark.name} ${short(mark.value)}`);
    });
    panel.lines.forEach((line, at) => {
      let path = "", before = null;
      line.seconds.forEach((time, point) => {
        const x = Math.min(Math.max(place(time), LEFT), WIDTH - RIGHT), y = up(line.values[point]);
        if (time >= view.from && path === "" && before !== null) path = `M${LEFT} ${before.toFixed(1)}`;
        if (time >= view.from && time <= view.to) path += `${path ? "H" : "M"}${x.toFixed(1)}${path ? "V" : " "}${y.toFixed(1)}`;
        before = y;
      });
      if (path === "" && line.seconds.length) path = `M${LEFT} ${up(valueAt(line, view.from)).toFixed(1)}`;
      if (path) element(svg, "svg:path", {d: `${path}H${WIDTH - RIGHT}`, fill: "none", stroke: `var(--s${at % 6})`, "stroke-width": 1.4, "stroke-dasharray": dashes[at % 3]});
    });
  });
  readers.push({svg, height: HEIGHT, tell: (time) => panel.lines.forEach((line, at) => {
    told[at].textContent = time === null || !line.seconds.length ? line.name : `${line.name} ${short(valueAt(line, time))}`;
  })});
}
function redraw() { for (const draw of redraws) draw(); }
function listen({svg}) {
  let dragged = null;
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    return {x: Math.min(Math.max((event.clientX - box.left) / box.width * WIDTH, LEFT), WIDTH - RIGHT), y: (event.clientY - box.top) / box.width * WIDTH};
  };
  const clear = () => document.querySelectorAll(".cursor,.zone").forEach((old) => old.remove());
  svg.addEventListener("pointermove", (event) => {
    const {x, y} = point(event);
    clear();
    for (const each of readers) {
      element(each.svg, "svg:line", {x1: x, x2: x, y1: 0, y2: each.height, class: "cursor"});
      if (dragged !== null) element(each.svg, "svg:rect", {x: Math.min(x, dragged), y: 0, width: Math.abs(x - dragged), height: each.height, class: "zone"});
      each.tell(seconds(x), each.svg === svg ? y : -1);
    }
  });
  svg.addEventListener("pointerleave", () => { dragged = null; clear(); for (const each of readers) each.tell(null, -1); });
  svg.addEventListener("pointerdown", (event) => { dragged = point(event).x; event.preventDefault(); });
  svg.addEventListener("pointerup", (event) => {
    const x = point(event).x;
    if (dragged !== null && Math.abs(x - dragged) > 5) [view.from, view.to] = [seconds(Math.min(x, dragged)), seconds(Math.max(x, dragged))];
    dragged = null;
    redraw();
  });
  svg.addEventListener("dblclick", () => { [view.from, view.to] = [0, drawn.end]; redraw(); });
}
const root = document.documentElement;
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; });
