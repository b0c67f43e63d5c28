// The active view: rows that follow the stream, repeats of what ended folded into one, and a filter over them, for which they unfold.
import { dismissing } from "./actions.js";
import { setAttribute, setText } from "./bind.js";
import { addPoints, POINT } from "./feed.js";
import { folded, nested } from "./order.js";
import { Table } from "./table.js";

export function begin(connection) {
  const table = new Table(document.querySelector("#processes tbody"), document.getElementById("process-row"));
  const filter = document.getElementById("filter");
  const { rows } = connection;
  let touched = new Map(); // id → the fields that changed since the last drawing
  let moved = false;
  let drawing = false;
  let lines = new Map(); // id → the ids that its row stands for
  let unfolded = false;

  connection.listen((message) => {
    if (message.kind === "state") return;
    if (message.kind === "reset") moved = true;
    for (const row of message.rows) {
      touched.set(row.id, message.kind === "reset" ? row : { ...touched.get(row.id), ...row });
      moved ||= "rank" in row || "parent" in row || "status" in row || "name" in row || ("note" in row && rows.get(row.id)?.ended !== null);
    }
    moved ||= (message.gone ?? []).length > 0;
    if (!drawing) {
      drawing = true;
      requestAnimationFrame(draw);
    }
  });

  function draw() {
    drawing = false;
    if (moved) {
      moved = false;
      const order = unfolded ? nested(rows).map(([id, depth]) => [id, depth, [id]]) : folded(rows);
      for (const [id, , ids] of order) {
        if (lines.get(id)?.length !== ids.length || !table.elements.has(id)) touched.set(id, { ...touched.get(id), ...times(rows.get(id), ids.length) });
      }
      lines = new Map(order.map(([id, , ids]) => [id, ids]));
      write();
      table.arrange(order.map(([id]) => id));
      for (const [id, depth] of order) setAttribute(table.elements.get(id), "data-depth", depth);
    } else write();
    if (connection.counts) count(connection.counts);
    match();
  }

  function write() {
    for (const [id, row] of touched) if (lines.has(id) && rows.has(id)) table.write({ id, ...row }, { ...rows.get(id), ...row });
    touched = new Map();
  }

  function match() {
    const wanted = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [id, element] of table.elements) {
      const row = rows.get(id);
      const text = wanted.length && row ? [row.name, row.about, row.status_text, row.note, id, ...row.flags.map((f) => f.name)].join(" ").toLowerCase() : "";
      const hidden = !wanted.every((word) => text.includes(word));
      if (element.hidden !== hidden) element.hidden = hidden;
      shown += !hidden;
    }
    document.getElementById("empty").hidden = table.elements.size > 0;
    document.getElementById("unmatched").hidden = shown > 0 || table.elements.size === 0;
  }

  dismissing(table.body, (id) => ({ ...rows.get(id), dismiss: lines.get(id) }));
  filter.closest("label").hidden = false;
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim() !== "";
    if (wanted === unfolded) return match();
    unfolded = wanted;
    moved = true;
    if (connection.complete) draw();
    else match();
  });
  setInterval(() => {
    addPoints(rows);
    for (const [id, row] of rows) if (row.trend && table.elements.has(id)) table.write({ id, trend: row.trend }, row);
  }, POINT);
}

function times(row, number) {
  const words = number > 1 ? `${number} times` : "";
  const dismissLabel = words && row.rank === 0 ? `Dismiss all ${number} of ${row.name}` : "";
  return { times: words, times_label: words ? `${words}: list all of ${row.name}` : null, alike: row.alike, dismiss_label: dismissLabel };
}

function count(counts) {
  const boxes = document.querySelectorAll("#counts > div");
  let wrong = 0;
  counts.forEach(([label, number], at) => {
    setText(boxes[at].querySelector("dd"), number);
    boxes[at].classList.toggle("none", !number);
    if (label === "Failed" || label === "Stuck") wrong += number;
  });
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = wrong ? `(${wrong}) ${title}` : title;
}
