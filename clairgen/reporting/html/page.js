"use strict";
// Everything here comes from models and data sets: it is inserted as text and never as markup.
const pairs = JSON.parse(document.getElementById("data").textContent);
const PAGE = 25;
const field = (id) => document.getElementById(id);
const several = new Set(pairs.map((pair) => pair.run)).size > 1;
let found = [];
let at = 0;

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

function label(pair) {
  return several ? `${pair.recipe} · ${pair.run}` : pair.recipe;
}

function words(pair) {
  if (pair.words === undefined) {
    const texts = [pair.id, pair.task, pair.reasoning, pair.other, pair.chosen, pair.rejected, ...pair.findings];
    for (const [, text] of pair.prompt) texts.push(text);
    // Both sides of the diff in full, so that a phrase is found across its changes.
    for (const side of [1, 2]) texts.push(pair.diff.map(([code, text]) => (code === 0 || code === side ? text : "")).join(""));
    pair.words = texts.filter(Boolean).join("\n").toLowerCase();
  }
  return pair.words;
}

function choose() {
  const query = field("query").value.trim().toLowerCase();
  const recipe = field("recipe").value;
  const outcome = field("outcome").value;
  const key = field("sort").value;
  const direction = Number(field("direction").value);
  found = pairs.filter(
    (pair) =>
      (!recipe || label(pair) === recipe) && (!outcome || pair.outcome === outcome) && (!query || words(pair).includes(query)),
  );
  found.sort((one, other) => {
    if (one[key] === null || other[key] === null) return (one[key] === null) - (other[key] === null);
    return direction * (one[key] - other[key]);
  });
  at = 0;
  show();
}

function show() {
  const list = field("list");
  list.replaceChildren(...found.slice(at, at + PAGE).map(card));
  const last = Math.min(at + PAGE, found.length);
  field("found").textContent = found.length === 1 ? "1 pair" : `${found.length.toLocaleString("en")} pairs`;
  field("position").textContent = found.length ? `${at + 1}–${last} of ${found.length.toLocaleString("en")}` : "";
  field("back").disabled = at === 0;
  field("next").disabled = last >= found.length;
}

function turn(step) {
  at += step;
  show();
  field("found").scrollIntoView({ block: "start" });
  field("list").querySelector("summary")?.focus({ preventScroll: true });
}

function figure(name, value, digits) {
  const made = element("span", "figure");
  const shown = value === null ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  made.append(element("small", "", `${name} `), shown);
  return made;
}

function card(pair) {
  const made = element("details", "pair");
  const summary = element("summary");
  const asked = pair.prompt[pair.prompt.length - 1];
  const tags = element("span", "tags");
  tags.append(
    element("span", "tag", label(pair)), " ",
    element("span", pair.outcome === "kept" ? "tag" : "tag dropped", pair.outcome === "kept" ? "kept" : `dropped: ${pair.outcome}`), " ",
    `task ${pair.task}`,
  );
  summary.append(
    element("span", "head", asked ? asked[1].slice(0, 300) : pair.task),
    figure("Jaccard", pair.jaccard, 1), figure("edits", pair.levenshtein, 0), figure("ratio", pair.ratio, 2), tags,
  );
  made.append(summary);
  made.addEventListener("toggle", () => {
    if (made.open && made.childElementCount === 1) made.append(body(pair));
  });
  return made;
}

function body(pair) {
  const made = element("div", "body");
  const left = element("div");
  for (const [role, text] of pair.prompt) left.append(element("h4", "", `Prompt: ${role}`), element("div", "text", text));
  if (pair.reasoning !== null) left.append(element("h4", "", "Reasoning"), element("div", "text", pair.reasoning));
  const right = element("div");
  right.append(element("h4", "", pair.jaccard === null && pair.other !== null ? "Rejected" : "From rejected to chosen"), diff(pair));
  if (pair.other !== null) right.append(element("h4", "", "The other answer"), element("div", "text", pair.other));
  const facts = [`pair ${pair.id}`, `rejected by ${pair.rejected}`, pair.chosen && `chosen by ${pair.chosen}`, ...pair.findings];
  if (pair.cut) facts.push("truncated: only the beginning of a long answer is compared here");
  made.append(left, right, element("div", "facts", facts.filter(Boolean).join(" · ")));
  return made;
}

function diff(pair) {
  const made = element("div", "text diff");
  for (const [code, text] of pair.diff) {
    if (code === 0) made.append(text);
    else made.append(element(code === 1 ? "del" : "ins", "", visible(text, code)));
  }
  return made;
}

// Makes removed or added whitespace visible.
function visible(text, code) {
  return text.trim() ? text : text.replaceAll(" ", "·").replaceAll("\n", code === 1 ? "↵" : "↵\n");
}

function offer(id, values) {
  for (const value of [...new Set(values)]) {
    const option = element("option", "", value);
    option.value = value;
    field(id).append(option);
  }
}

offer("recipe", pairs.map(label));
offer("outcome", pairs.map((pair) => pair.outcome).sort((one, other) => (other === "kept") - (one === "kept")));
let waiting;
field("query").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(choose, 120);
});
for (const id of ["recipe", "outcome", "sort", "direction"]) field(id).addEventListener("change", choose);
field("query").form.addEventListener("submit", (event) => {
  event.preventDefault();
  choose();
});
field("back").addEventListener("click", () => turn(-PAGE));
field("next").addEventListener("click", () => turn(PAGE));
choose();
