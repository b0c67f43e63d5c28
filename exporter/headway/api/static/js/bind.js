// Writes the fields of a row into the elements that name them. Text becomes text and nothing else: no markup is made here.
//
//   data-text="field"              the text of the element
//   data-attr="name:field …"       attributes; null takes one away
//   data-show="field"              hidden while the field is empty
//   data-list="field"              one copy of the <template> inside for each item
//   data-spark="field"             the line of an SVG path; data-least is what fills its height at least
//   data-when="field"              a moment (RFC 3339), shown in the reader's time zone

import { when } from "./clock.js";

const MARKED = "[data-text],[data-attr],[data-show],[data-list],[data-spark],[data-when]";
// Only these: an attribute that runs or loads something is never filled from a field.
const ATTRIBUTES = /^(href|value|title|datetime|aria-[a-z]+|data-[a-z]+)$/;

/** Fills an element, and all within it, from a row. Returns the element. */
export function fill(element, row) {
  if (element.matches(MARKED)) one(element, row);
  for (const part of element.querySelectorAll(MARKED)) {
    // Items of a list are filled with their own rows; one that is over is no longer there.
    const list = part.parentElement?.closest("[data-list]");
    if (!element.contains(part) || (list && element.contains(list))) continue;
    one(part, row);
  }
  return element;
}

function one(element, row) {
  const { text, attr, show, list, spark, when: moment } = element.dataset;
  if (text !== undefined && text in row) setText(element, row[text] ?? "");
  if (attr !== undefined) {
    for (const pair of attr.split(" ")) {
      const [name, field] = pair.split(":");
      if (field in row) setAttribute(element, name, row[field]);
    }
  }
  if (show !== undefined && show in row) element.hidden = !row[show] || row[show].length === 0;
  if (list !== undefined && list in row) fillList(element, row[list]);
  if (spark !== undefined && spark in row) setAttribute(element, "d", path(row[spark], Number(element.dataset.least) || 0));
  if (moment !== undefined && row[moment]) setText(element, when(row[moment]));
}

export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function setAttribute(element, name, value) {
  if (name !== "d" && !ATTRIBUTES.test(name)) throw new Error(`no field is written into the attribute ${name}`);
  if (name === "href" && value != null && !/^\/(?!\/)/.test(value)) throw new Error("links lead to pages of this exporter only");
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

function fillList(element, items) {
  const pattern = element.querySelector(":scope > template");
  const present = [...element.children].filter((child) => child !== pattern);
  items.forEach((item, at) => {
    const child = present[at] ?? element.appendChild(copy(pattern));
    fill(child, item);
  });
  for (const surplus of present.slice(items.length)) surplus.remove();
}

export function copy(pattern) {
  return document.importNode(pattern.content, true).firstElementChild;
}

/** The `d` of a line through the points in a box of 60 by 16, the last one at its right edge. */
export function path(points, least) {
  if (!points || points.length < 2) return "";
  const top = Math.max(least, ...points) || 1;
  const step = 60 / 59;
  const start = 60 - step * (points.length - 1);
  return "M" + points.map((value, at) => `${(start + step * at).toFixed(1)} ${(15 - (14 * value) / top).toFixed(1)}`).join("L");
}
