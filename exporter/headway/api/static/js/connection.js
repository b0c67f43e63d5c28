// The page's end of the stream, and what it says of it.
import { duration, setClock } from "./clock.js";
import { Feed } from "./feed.js";

const WORDS = {
  connecting: "connecting",
  live: "live",
  polling: "polling",
  offline: "no connection",
  refused: "signed out: sign in again",
};

/** Returns {rows, listen}: `listen` gets every message of the feed from now on, the present first. */
export function beginConnection() {
  const listeners = new Set();
  const connection = {
    rows: new Map(),
    counts: null,
    state: "connecting",
    complete: false,
    listen(listener) {
      listeners.add(listener);
    },
  };

  function heard(message) {
    if (message.kind === "state") {
      connection.state = message.state;
      say(message);
    } else {
      setClock(message.now);
      if (message.kind === "reset") connection.rows.clear();
      for (const row of message.rows) connection.rows.set(row.id, { ...connection.rows.get(row.id), ...row });
      for (const id of message.gone ?? []) connection.rows.delete(id);
      connection.counts = message.counts ?? connection.counts;
      connection.complete = true;
      if (message.notice !== undefined) notice(message.notice);
    }
    for (const listener of listeners) listener(message);
  }

  const viewer = document.querySelector("meta[name=headway-viewer]").content;
  const port = shared();
  if (port) {
    port.onmessage = ({ data }) => heard(data);
    const hello = () => port.postMessage({ kind: "hello", viewer });
    hello();
    addEventListener("pagehide", () => port.postMessage({ kind: "bye" }));
    addEventListener("pageshow", (event) => event.persisted && hello());
  } else {
    new Feed(heard);
  }
  return connection;
}

function shared() {
  if (typeof SharedWorker === "undefined") return null;
  let url = new URL("./worker.js", import.meta.url).href;
  if (window.trustedTypes) {
    const policy = trustedTypes.createPolicy("headway", {
      createScriptURL(text) {
        if (new URL(text).origin !== location.origin) throw new TypeError("not a script of this exporter");
        return text;
      },
    });
    url = policy.createScriptURL(url);
  }
  try {
    // Pages of another version have a worker of their own.
    const name = `headway ${document.documentElement.dataset.version}`;
    return new SharedWorker(url, { type: "module", name }).port;
  } catch {
    return null;
  }
}

// What every page has to tell, such as that nothing is being stored; null: nothing.
function notice(text) {
  const element = document.getElementById("notice");
  if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
  element.hidden = !text;
}

function say({ state, since }) {
  const element = document.getElementById("connection");
  if (!element) return;
  element.hidden = false;
  element.dataset.state = state;
  const long = Math.round((Date.now() - since) / 1000);
  const text = state === "offline" && long >= 5 ? `${WORDS[state]} for ${duration(long)}` : WORDS[state];
  if (element.textContent === text) return;
  element.textContent = text;
  if (state !== "refused") return;
  const link = document.createElement("a");
  link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = text;
  element.replaceChildren(link);
}
