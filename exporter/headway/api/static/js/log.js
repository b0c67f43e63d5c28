// Output that is followed: new lines at the end, the view stays at the end unless the reader scrolled up; search within it.
import { setText } from "./bind.js";
import { write } from "./ansi.js";

const MOST = 5000; // lines that are kept on the page

export class Log {
  constructor(box, bar) {
    this.box = box;
    this.tools = bar.querySelector(".tools");
    this.tools.hidden = false;
    this.search = this.tools.querySelector("input[type=search]");
    this.only = this.tools.querySelector("input[name=only]");
    this.follow = this.tools.querySelector("input[name=follow]");
    this.found = this.tools.querySelector(".found");
    this.hits = [];
    this.here = -1;
    this.search.addEventListener("input", () => this.find());
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.step(event.shiftKey ? -1 : 1);
    });
    this.only.addEventListener("change", () => this.box.classList.toggle("only", this.only.checked && this.search.value !== ""));
    this.follow.addEventListener("change", () => this.toEnd());
    box.addEventListener("wheel", (event) => event.deltaY < 0 && this.stay(), { passive: true });
    box.addEventListener("keydown", (event) => ["PageUp", "ArrowUp", "Home"].includes(event.key) && this.stay());
    box.addEventListener("scroll", () => {
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 4 && this.search.value === "") this.follow.checked = true;
    });
    this.toEnd();
  }

  stay() {
    if (this.box.scrollHeight > this.box.clientHeight) this.follow.checked = false;
  }

  clear() {
    this.box.replaceChildren();
    this.hits = [];
  }

  /** Adds lines, each a text. */
  add(texts) {
    const part = document.createDocumentFragment();
    const wanted = this.search.value.toLowerCase();
    for (const text of texts.slice(-MOST)) {
      const line = document.createElement("div");
      write(line, text);
      part.append(line);
      if (wanted && line.textContent.toLowerCase().includes(wanted)) this.hit(line);
    }
    this.box.append(part);
    while (this.box.childElementCount > MOST) this.box.firstElementChild.remove();
    if (wanted) this.count();
    this.toEnd();
  }

  /** Says in its place that lines are missing. */
  gap(text) {
    const line = document.createElement("div");
    line.className = "gap";
    line.textContent = text;
    this.box.append(line);
  }

  toEnd() {
    if (this.follow.checked) this.box.scrollTop = this.box.scrollHeight;
  }

  find() {
    const wanted = this.search.value.toLowerCase();
    for (const line of this.hits) line.classList.remove("hit", "here");
    this.hits = [];
    this.here = -1;
    this.box.classList.toggle("only", this.only.checked && wanted !== "");
    if (wanted) {
      this.follow.checked = false;
      for (const line of this.box.children) if (line.textContent.toLowerCase().includes(wanted)) this.hit(line);
      if (this.hits.length) this.step(-1);
    }
    this.count();
  }

  hit(line) {
    line.classList.add("hit");
    this.hits.push(line);
  }

  step(by) {
    this.hits = this.hits.filter((line) => line.isConnected);
    if (!this.hits.length) return;
    this.hits[this.here]?.classList.remove("here");
    this.here = (this.here + by + this.hits.length + (this.here < 0 && by < 0 ? 1 : 0)) % this.hits.length;
    this.hits[this.here].classList.add("here");
    this.hits[this.here].scrollIntoView({ block: "center" });
    this.count();
  }

  count() {
    const at = this.here < 0 ? "" : `${this.here + 1} of `;
    setText(this.found, this.search.value ? `${at}${this.hits.length}` : "");
  }
}

/** Follows the output of a process; goes on where it was after a break. */
export function followProcess(log, id) {
  const source = new EventSource(`/api/processes/${encodeURIComponent(id)}/output?follow=true`);
  let last = 0;
  source.addEventListener("lines", (event) => {
    const { lines, begins } = JSON.parse(event.data);
    if (begins) log.clear();
    else if (lines.length && lines[0].number > last + 1 && last > 0) log.gap(`… ${lines[0].number - last - 1} lines are not kept any more`);
    log.add(lines.filter((line) => begins || line.number > last).map((line) => line.text));
    last = lines.at(-1)?.number ?? last;
  });
  source.addEventListener("end", () => source.close());
  return source;
}

/** Follows the log of a service; begins anew after a break. */
export async function followService(log, name, signal) {
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  while (!signal.aborted) {
    try {
      const answer = await fetch(`/api/processes/${encodeURIComponent(name)}/logs?lines=500&follow=true`, { signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      log.clear();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        if (lines.length) log.add(lines);
      }
    } catch {
      if (signal.aborted) return;
    }
    await pause(2000);
  }
}
