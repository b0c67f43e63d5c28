// What needs attention: looked at again when a condition or an end says so.
import { dismissAll, dismissing, model } from "./actions.js";
import { fill } from "./bind.js";
import { Table } from "./table.js";
import { watch } from "./view.js";

const EVERY = 10000;

export function begin(connection) {
  const table = new Table(document.querySelector("#processes tbody"), document.getElementById("process-row"));
  const names = new Table(document.getElementById("names"), document.getElementById("name-line"), "key");
  const advice = new Table(document.getElementById("advice"), document.getElementById("advice-line"), "key");
  const look = watch(
    (found) => {
      table.show(found.rows);
      names.show(found.names);
      advice.show(found.recommendations);
      for (const id of ["empty", "analysed", "trouble", "dismiss-all"]) {
        const element = document.getElementById(id);
        if (element) fill(element, found);
      }
      document.getElementById("no-advice").hidden = found.recommendations.length > 0;
    },
    EVERY,
    connection,
  );
  const standing = async (id) => (await model()).rows.find((row) => row.dismiss.includes(id));
  dismissing(table.body, standing, look);
  const all = document.getElementById("all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", async ({ target }) => {
      if (target.id !== "dismiss-all") return;
      await dismissAll();
      look();
    });
  }
  connection.listen((message) => {
    if (message.kind === "state") return;
    for (const row of message.rows) if (table.elements.has(row.id)) table.write(row, connection.rows.get(row.id));
    const other = message.rows.some((row) => "rank" in row && row.rank < 2 !== table.elements.has(row.id));
    if (other || (message.gone ?? []).some((id) => table.elements.has(id))) look(300);
  });
}
