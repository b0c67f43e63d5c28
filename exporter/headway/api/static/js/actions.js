// What the buttons do: ask the API what it would do, show exactly that, and do it when it was confirmed.
import { ask, tell } from "./dialog.js";

/** One call of the API. Returns the answer; throws an Error with the words of the exporter. */
export async function call(method, path, body) {
  const csrf = document.querySelector("meta[name=headway-csrf]").content;
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (csrf) headers["X-Headway-CSRF"] = csrf;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: method === "GET" ? undefined : JSON.stringify(body ?? {}), cache: "no-store" });
  } catch {
    throw new Error("The exporter does not answer.");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.detail ?? `The exporter answered ${answer.status}.`);
  return found;
}

const url = (id, verb = "") => `/api/processes/${encodeURIComponent(id)}${verb}`;
const many = (number, one, more = `${one}es`) => `${number} ${number === 1 ? one : more}`;

/** What a kill of this process would reach: texts for the dialog. */
export async function reach(id) {
  const { data } = await call("POST", "/api/processes/kill", { scope: { type: "process", process_id: id }, dry_run: true });
  return {
    list: data.killed.map((hit) => {
      const under = hit.os_processes > 1 ? `, ${many(hit.os_processes, "OS process")}` : "";
      return `${hit.name ?? "an OS process"} (pid ${hit.pid}${under})${hit.gone ? ", which has ended already" : ""}`;
    }),
    left: [...data.failed, ...data.skipped].map((miss) => `Left alone: ${miss.pid ? `pid ${miss.pid}: ` : ""}${miss.reason}`),
    total: data.killed.reduce((sum, hit) => sum + hit.os_processes, 0),
  };
}

const SIGNALS = [
  ["SIGTERM", "SIGTERM (please end)"],
  ["SIGINT", "SIGINT (as Ctrl-C)"],
  ["SIGHUP", "SIGHUP"],
  ["SIGQUIT", "SIGQUIT (with a core dump)"],
  ["SIGKILL", "SIGKILL (at once)"],
];
const GRACES = [["5", "after 5 s"], ["15", "after 15 s"], ["60", "after a minute"], ["0", "at once"]];

// Each: what is asked first, what is done then, what is said of the answer.
const ACTIONS = {
  cancel: {
    async plan(id, name) {
      const { list } = await reach(id).catch(() => ({ list: [] }));
      return {
        title: `Ask «${name}» to end?`,
        lines: [
          "Its reporter hears of this with its next report, and ends it in its own way: headway run signals its command, a script may not listen. Kill does not ask.",
          list.length ? "What would end with it:" : "No OS process of it can be reached from here.",
        ],
        list,
        confirm: "Ask it to end",
      };
    },
    do: (id) => call("POST", url(id, "/cancel")),
    said: (answer, name) => `«${name}» was asked to end.`,
  },
  kill: {
    async plan(id, name) {
      const { list, left, total } = await reach(id);
      return {
        title: `End «${name}» now?`,
        lines: list.length ? [`This ends ${many(total, "OS process")}, children before parents:`] : ["There is nothing that can be ended from here."],
        list,
        left,
        options: [
          { name: "signal", label: "Signal", values: SIGNALS },
          { name: "grace", label: "SIGKILL for what is left", values: GRACES },
        ],
        confirm: "End it",
        danger: true,
        impossible: list.length === 0,
      };
    },
    do: (id, { signal, grace }) => call("POST", url(id, "/kill"), { signal, grace: Number(grace) }),
    said({ data }, name) {
      const ended = data.killed.reduce((sum, hit) => sum + hit.os_processes, 0);
      const left = [...data.failed, ...data.survivors];
      if (!left.length) return `«${name}»: ${many(ended, "OS process")} ended.`;
      throw new Error(`«${name}»: ${ended} ended; not ended: ${left.map((miss) => `pid ${miss.pid}, ${miss.reason}`).join("; ")}`);
    },
  },
  pause: {
    async plan(id, name) {
      const { list, left, total } = await reach(id);
      return {
        title: `Pause «${name}»?`,
        lines: list.length ? [`This stops ${many(total, "OS process")} where they are (SIGSTOP), until they are resumed or killed:`] : ["There is nothing that can be paused from here."],
        list,
        left,
        confirm: "Pause it",
        impossible: list.length === 0,
      };
    },
    do: (id) => call("POST", url(id, "/pause")),
    said: (answer, name) => `«${name}» is paused.`,
  },
  resume: {
    async plan(id, name) {
      const { list, left, total } = await reach(id);
      return { title: `Resume «${name}»?`, lines: [`This lets ${many(total, "OS process")} go on (SIGCONT):`], list, left, confirm: "Resume it" };
    },
    do: (id) => call("POST", url(id, "/resume")),
    said: (answer, name) => `«${name}» goes on.`,
  },
  dismiss: {
    plan: (id, name) => ({
      title: `Dismiss «${name}»?`,
      lines: ["It leaves the active view and needs no attention any more. It stays in the history. Nothing is ended."],
      confirm: "Dismiss it",
    }),
    do: (id) => call("DELETE", url(id)),
    said: (answer, name) => `«${name}» was dismissed.`,
  },
  retry: {
    async plan(id, name) {
      const { data } = await call("GET", url(id));
      return {
        title: `Run «${name}» again?`,
        lines: ["This starts its command once more, as a new process of the same name. Nothing is ended."],
        list: data.command ? [data.command] : [],
        confirm: "Run it again",
      };
    },
    do: (id) => call("POST", url(id, "/retry")),
    said: (answer, name) => `«${name}» runs again.`,
  },
};

/** Asks, does it, tells. Returns the answer of the API, or null when nothing was done. */
export async function act(word, id, name) {
  const action = ACTIONS[word];
  try {
    const chosen = await ask(await action.plan(id, name));
    if (chosen === null) return null;
    const answer = await action.do(id, chosen);
    tell(action.said(answer, name));
    return answer;
  } catch (error) {
    tell(error.message, true);
    return null;
  }
}

const AT_ONCE = 6; // so many requests a browser has under way to one host

/** What this page shows, as it is now. */
export const model = async () => (await call("GET", location.pathname)).data;

/** Everything that ended and is shown as needing attention now, which is asked for anew: what is listed is what goes. */
export const dismissAll = () => dismissRows(async () => (await model()).rows.filter((row) => row.dismiss.length));

/** Buttons in rows that stand for several. `standsFor` gives for the id of a row one with what it is called and, as `dismiss`, the ids
 *  it stands for; `done` is called when they were dismissed, or nobody wanted it. */
export function dismissing(body, standsFor, done = () => {}) {
  document.body.dataset.acts = "";
  body.addEventListener("click", async ({ target }) => {
    if (!target.matches("button.dismiss")) return;
    const { key } = target.closest("[data-key]").dataset;
    await dismissRows(async () => [await standsFor(key)].filter((row) => row?.dismiss?.length));
    done();
  });
}

async function dismissRows(find) {
  try {
    const rows = await find();
    const ids = rows.flatMap((row) => row.dismiss);
    const chosen = await ask({
      title: ids.length ? `Dismiss ${many(ids.length, "process")} that ended?` : "Nothing is left to dismiss",
      lines: ids.length ? ["They leave the active view and need no attention any more. They stay in the history. Nothing is ended:"] : [],
      list: rows.map((row) => `${row.name}, ${row.status_text}${row.dismiss.length > 1 ? ` (${row.dismiss.length} times)` : ""}`),
      confirm: "Dismiss them",
      impossible: !ids.length,
    });
    if (chosen === null) return;
    tell(`${ids.length} are dismissed …`);
    const wrong = [];
    const waiting = [...ids];
    const work = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) await call("DELETE", url(id)).catch((error) => wrong.push(error.message));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (wrong.length) throw new Error(`${ids.length - wrong.length} dismissed; ${wrong.length} not: ${[...new Set(wrong)].slice(0, 3).join("; ")}`);
    tell(`${many(ids.length, "process")} dismissed.`);
  } catch (error) {
    tell(error.message, true);
  }
}

/** Start, stop or restart of a service, as it is in the list. */
export async function actOnService(word, service) {
  const { name } = service;
  const plans = {
    start: { title: `Start ${name}?`, lines: [service.facts.includes("needs ") ? `Before it, what it ${service.facts.split(" · ").at(-1)} is started.` : "Nothing is ended."], confirm: "Start it" },
    stop: { title: `Stop ${name}?`, lines: ["It stays stopped, also when the exporter is started again."], confirm: "Stop it", danger: true },
    restart: { title: `Restart ${name}?`, lines: ["It is ended, and started anew."], confirm: "Restart it", danger: true },
  };
  await doService(word, plans[word], word === "start" ? [] : [service], { name });
}

/** All services: those that do not run are started, or those that run are stopped. */
export async function actOnAll(word, services) {
  const running = services.filter((one) => one.status !== "stopped" && one.status !== "error");
  const others = services.filter((one) => !running.includes(one));
  const plan =
    word === "start"
      ? { title: "Start all services?", lines: [others.length ? "These do not run; those without a schedule are started:" : "All of them run."], list: others.map((one) => one.name), confirm: "Start all" }
      : { title: "Stop all services?", lines: ["Each is ended before those that it needs. They stay stopped, also when the exporter is started again."], confirm: "Stop all", danger: true };
  await doService(`${word}-all`, plan, word === "stop" ? running : [], {});
}

async function doService(verb, plan, ending, body) {
  try {
    const list = plan.list ?? [];
    for (const one of ending) {
      const id = one.pid && one.process_id;
      const found = id ? await reach(id).catch((error) => ({ list: [], left: [`${one.name}: ${error.message}`] })) : { list: [], left: [] };
      list.push(...found.list);
      plan.left = [...(plan.left ?? []), ...found.left];
    }
    if (ending.length) plan.lines.push(list.length ? "This ends:" : "Nothing of it runs.");
    if ((await ask({ ...plan, list })) === null) return;
    tell(`${plan.title.replace("?", "")} …`);
    const { data } = await call("POST", `/api/processes/${verb}`, body);
    const every = Array.isArray(data) ? data : [data];
    tell(every.map((one) => `${one.name} is ${one.status}`).join(", ") + ".");
  } catch (error) {
    tell(error.message, true);
  }
}
