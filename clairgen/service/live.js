"use strict";
// Charts of a run that goes on: its points so far are in the page, later ones come with its stream.
const MOST_POINTS = 5000;
const state = document.getElementById("state");
const connection = document.getElementById("connection");
const columns = [[], [], [], []];
const figures = [
  (value) => value.toFixed(1),
  (value) => `$${value.toFixed(value < 10 ? 4 : 2)}`,
  (value) => value.toFixed(0),
];

function add(points) {
  for (const point of points) {
    if (columns[0].length && point[0] <= columns[0].at(-1)) continue;
    columns.forEach((column, at) => column.push(point[at]));
  }
  for (const column of columns) column.splice(0, column.length - MOST_POINTS);
}

function moments(_, __, from, to) {
  return [1, 3, 5].map((sixth) => Math.round(from + (to - from) * sixth / 6));
}

function times(_, shown) {
  const long = columns[0].at(-1) - columns[0][0] > 600;
  return shown.map((moment) => new Date(1000 * moment).toISOString().slice(11, long ? 16 : 19));
}

function color(name) {
  return () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function chart(place, at) {
  const size = () => ({ width: Math.max(place.clientWidth, 120), height: 150 });
  const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const shown = (values) => values.map((value) => (value === null ? "" : figures[at](value)));
  const drawn = new uPlot({
    ...size(),
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, size: 26, splits: moments, values: times }, { ...axis, size: 62, values: (_, values) => shown(values) }],
    series: [{}, { stroke: color("--accent"), width: 1.5, points: { show: false }, spanGaps: false }],
  }, [columns[0], columns[at + 1]], place);
  new ResizeObserver(() => drawn.setSize(size())).observe(place);
  return drawn;
}

add(JSON.parse(document.getElementById("points").textContent));
const charts = [...document.querySelectorAll(".chart")].map(chart);

function draw() {
  charts.forEach((one, at) => {
    one.setData([columns[0], columns[at + 1]]);
    const last = columns[at + 1].at(-1);
    one.root.parentElement.dataset.last = last === undefined || last === null ? "–" : figures[at](last);
  });
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((one) => one.redraw(false)));
state.addEventListener("points", (event) => {
  add(JSON.parse(event.detail.data));
  draw();
});
state.addEventListener("htmx:sse:error", () => { connection.textContent = "The connection is lost; trying again."; });
state.addEventListener("htmx:response:error", () => { connection.textContent = "This page does not change by itself now; load it again later."; });
state.addEventListener("htmx:sse:after:connection", () => { connection.textContent = ""; });

// Where nothing runs, because no session has begun yet or the last one has ended, another may begin.
const progress = location.pathname.replace("/runs/", "/api/runs/").replace(/live$/, "progress");
setInterval(async () => {
  if (document.querySelector("#progress .tag")?.textContent === "running") return;
  try {
    const answer = await fetch(progress);
    if (answer.ok && (await answer.json()).running) location.reload();
  } catch {} // the service is away
}, 5000);
