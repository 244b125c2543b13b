// What the page of a run draws beside panels: a map of bits and histograms.
function drawMap(map) {
  const row = 15, height = row * map.layers.length;
  const {legend, svg} = frame(document.getElementById("maps"), map.network, height);
  const widths = [...new Set(map.rows.join(""))].filter((width) => width !== "0").sort();
  for (const width of widths) {
    const entry = element(legend, "span");
    element(entry, "i", {class: "swatch"}).style.background = `var(--b${width})`;
    element(entry, "span", {}, `${width} bit`);
  }
  const told = element(legend, "span", {class: "faint"});
  const names = map.layers.map((name) => name.replace(/^stages\./, ""));
  const fits = Math.max(...names.map((name) => name.length)) <= 12;  // long names stand on the map, not in the margin
  const beside = fits ? {x: LEFT - 4, "text-anchor": "end"} : {x: LEFT + 3};
  redraws.push(() => {
    svg.replaceChildren();
    timeAxis(svg, height);
    map.rows.forEach((cells, at) => {
      for (let start = 0; start < cells.length;) {
        let end = start;
        while (end < cells.length && cells[end] === cells[start]) end++;
        const from = Math.max(start / cells.length * map.end, view.from), to = Math.min(end / cells.length * map.end, view.to);
        if (cells[start] !== "0" && from < to)
          element(svg, "svg:rect", {x: place(from), y: row * at, width: place(to) - place(from), height: row - 1, fill: `var(--b${cells[start]})`});
        start = end;
      }
      element(svg, "svg:text", {...beside, y: row * (at + 0.75), "font-size": 9, class: "mark"}, names[at]);
    });
  });
  readers.push({svg, height, tell: (time, y) => {
    const at = Math.floor(y / row), cell = time === null ? undefined : map.rows[at]?.[Math.floor(time / map.end * map.rows[at].length)];
    told.textContent = cell === undefined || cell === "0" ? "" : `${map.layers[at]}: ${cell} bit at ${short(time)} s`;
  }});
}
function drawLatencies(found) {
  const {svg} = frame(document.getElementById("latencies"), `${found.stream}: completed frames by milliseconds`, HEIGHT);
  const top = Math.max(...found.counts, 1), end = found.edges[found.edges.length - 1];
  const at = (value) => LEFT + value / end * across;
  for (const tick of ticks(0, end, 8)) element(svg, "svg:text", {x: at(tick), y: HEIGHT + 13, "text-anchor": "middle"}, `${short(tick)} ms`);
  element(svg, "svg:text", {x: LEFT - 6, y: 10, "text-anchor": "end"}, short(top));
  found.counts.forEach((count, bin) => {
    const bar = element(svg, "svg:rect", {x: at(found.edges[bin]), y: HEIGHT * (1 - count / top), width: across / found.counts.length - 1, height: HEIGHT * count / top, class: "bar"});
    element(bar, "svg:title", {}, `${short(found.edges[bin])} to ${short(found.edges[bin + 1])} ms: ${count} frames`);
  });
  element(svg, "svg:line", {x1: at(found.deadline), x2: at(found.deadline), y1: 0, y2: HEIGHT, stroke: "var(--s1)", "stroke-width": 2, "stroke-dasharray": "6 4"});
  element(svg, "svg:text", {x: at(found.deadline) - 4, y: 10, "text-anchor": "end"}, `deadline ${short(found.deadline)} ms`);
}
drawn.panels.forEach(drawPanel);
drawn.maps.forEach(drawMap);
drawn.latencies.forEach(drawLatencies);
redraw();
readers.forEach(listen);
