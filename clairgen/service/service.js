"use strict";
// Keys for what links and forms do anyway: j and k go to the next and the previous pair, v to the vote, d to the other diff, u up to the
// list, e edits the chosen answer, s skips a pair of a queue.
const rows = [...document.querySelectorAll("#list a.row")];

function follow(selector) {
  const link = document.querySelector(selector);
  if (link) link.click();
}

function step(by) {
  if (!rows.length) {
    follow(by > 0 ? "a[rel=next]" : "a[rel=prev]");
    return;
  }
  const at = rows.indexOf(document.activeElement);
  const to = at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  if (rows[to]) rows[to].focus();
  else follow(by > 0 ? "a[rel=next]" : "a[rel=prev]");
}

const keys = {
  j: () => step(1),
  k: () => step(-1),
  u: () => follow("#up"),
  d: () => follow("#other-diff"),
  e: () => follow("#edit"),
  s: () => follow(".vote button[name=skip]"),
  v: () => {
    const vote = document.querySelector(".vote input[type=radio]:checked") || document.querySelector(".vote input[type=radio]");
    if (vote) vote.focus();
  },
};

// 1 to 4 choose a vote, which Enter saves.
document.querySelectorAll(".vote input[type=radio]").forEach((radio, at) => {
  keys[String(at + 1)] = () => {
    radio.checked = true;
    radio.focus();
  };
});

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLElement && event.target.matches("input:not([type=radio]), textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});

// A part of a page that leads elsewhere, as to signing in again, takes the whole page there.
document.addEventListener("htmx:before:response", (event) => {
  if (!event.detail.ctx.response.raw.redirected) return;
  event.preventDefault();
  location.reload();
});
