// Services: their states every two seconds while in sight, the buttons, and the log of one.
import { setText } from "./bind.js";
import { actOnAll, actOnService } from "./actions.js";
import { followService, Log } from "./log.js";
import { Table } from "./table.js";
import { watch } from "./view.js";

const EVERY = 2000;

export function begin(connection) {
  const services = document.getElementById("services");
  const expected = tableOf("expected", "expected-row");
  if (!services && !expected) return; // none is configured
  const table = tableOf("services", "service-row");
  let rows = [];
  const look = watch(
    (model) => {
      ({ rows } = model);
      expected?.show(model.expected);
      if (!table) return;
      table.show(rows);
      const boxes = document.querySelectorAll("#counts > div");
      model.counts.forEach(([, number], at) => {
        setText(boxes[at].querySelector("dd"), number);
        boxes[at].classList.toggle("none", !number);
      });
    },
    EVERY,
    connection,
  );
  look();
  services?.addEventListener("click", async ({ target }) => {
    const word = target.closest("button[data-action]")?.dataset.action;
    const service = rows.find((row) => row.name === target.closest("tr")?.dataset.key);
    if (!word || !service) return;
    await actOnService(word, service);
    look();
  });
  const all = document.getElementById("all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", async ({ target }) => {
      if (!target.dataset.all) return;
      await actOnAll(target.dataset.all, rows);
      look();
    });
  }
  const output = document.getElementById("output");
  if (output) whileSeen((signal) => followService(new Log(document.getElementById("log"), document.getElementById("logbar")), output.dataset.service, signal));
}

function tableOf(id, row) {
  const table = document.getElementById(id);
  return table && new Table(table.querySelector("tbody"), document.getElementById(row), "name");
}

// A browser has few connections: a page that nobody looks at gives its own back.
function whileSeen(work) {
  let stop = null;
  const turn = () => {
    if (document.hidden) {
      stop?.abort();
      stop = null;
    } else if (!stop) {
      stop = new AbortController();
      work(stop.signal);
    }
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}
