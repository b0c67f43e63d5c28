// The history: the newest page follows what ends, every half minute and when something has ended.
import { Table } from "./table.js";
import { watch } from "./view.js";

const EVERY = 30000;

export function begin(connection) {
  const table = new Table(document.querySelector("#history tbody"), document.getElementById("past-row"));
  const look = watch(
    (model) => {
      table.show(model.rows);
      for (const id of ["history", "order"]) document.getElementById(id).hidden = model.rows.length === 0;
      document.getElementById("empty").hidden = model.rows.length > 0;
    },
    EVERY,
    connection,
  );
  connection.listen((message) => {
    // All rows at once (a reset) may hold an end that came after this page was made and before it listened.
    if (message.kind === "reset" || (message.kind === "frame" && message.rows.some((row) => row.ended))) look(500);
  });
  for (const field of document.querySelectorAll("#filters select, #filters input[type=date], #filters input[type=checkbox]")) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
}
