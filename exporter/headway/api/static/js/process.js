// One process: its row from the stream, its output, and the rest looked at again now and then.
import { fill, setText } from "./bind.js";
import { act } from "./actions.js";
import { setTimes } from "./clock.js";
import { followProcess, Log } from "./log.js";
import { Table } from "./table.js";
import { watch } from "./view.js";

const EVERY = 5000;

export function begin(connection) {
  const { id, name, cancel } = document.getElementById("process").dataset;
  const summary = document.getElementById("summary");
  const buttons = new Table(document.getElementById("actions"), document.getElementById("action-button"), "key");
  const tree = new Table(document.querySelector("#tree tbody"), document.getElementById("branch-row"), "key");
  const steps = new Table(document.getElementById("timeline"), document.getElementById("step-line"), "key");
  const facts = new Facts();

  const look = watch(
    (model) => {
      showRow(model.row);
      fill(summary, { memory_trend: model.memory_trend });
      document.getElementById("usual").hidden = !model.usual;
      if (model.usual) fill(document.getElementById("usual"), model.usual);
      buttons.show(model.actions);
      tree.show(model.tree);
      steps.show(model.steps);
      facts.show(model.facts);
      const metadata = document.getElementById("metadata");
      if (metadata) setText(metadata, model.metadata);
    },
    EVERY,
    connection,
  );
  look();

  function showRow(row) {
    fill(summary, row);
    if ("started" in row || "ended" in row) setTimes(summary, connection.rows.get(id) ?? row);
  }

  connection.listen((message) => {
    if (message.kind === "state") return;
    const row = message.rows.find((one) => one.id === id);
    if (row) {
      showRow(row);
      if ("status" in row) look();
    } else if (message.rows.some((one) => one.parent === id) || message.gone?.includes(id)) look(200);
  });

  const bar = document.getElementById("actions");
  bar.hidden = false;
  bar.addEventListener("click", ({ target }) => {
    const word = target.closest("button[data-action]")?.dataset.action;
    if (word) run(word);
  });
  async function run(word) {
    const answer = await act(word, id, name);
    if (answer && word === "retry") location.assign(`/processes/${encodeURIComponent(answer.data.id)}`);
    else if (answer) look();
  }
  if (cancel === "possible" && bar.querySelector("[data-action=cancel]")) run("cancel");

  followOutput(id);
}

// A browser has few connections: a page that nobody looks at gives its own back, and goes on where it was.
function followOutput(id) {
  const log = new Log(document.getElementById("log"), document.getElementById("logbar"));
  let source = null;
  const turn = () => {
    source?.close();
    source = document.hidden ? null : followProcess(log, id);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
}

// A fact is a text, a moment or a link, and each has its own markup.
class Facts {
  constructor() {
    const body = document.getElementById("facts");
    this.texts = new Table(body, document.getElementById("fact-line"), "key");
    this.times = document.getElementById("fact-time");
  }

  show(facts) {
    for (const fact of facts) {
      if (this.texts.elements.has(fact.key)) continue;
      this.texts.pattern = fact.at ? this.times : document.getElementById("fact-line");
      this.texts.write(fact);
    }
    this.texts.show(facts);
  }
}
