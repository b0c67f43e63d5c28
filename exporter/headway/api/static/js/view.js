// The model of a page as the exporter renders it, looked at again while the page is in sight.

/** Calls `show` with the model every `every` ms, and at once when told. Returns what tells it. */
export function watch(show, every, connection) {
  let timer = null;
  let asked = 0;
  async function look() {
    clearTimeout(timer);
    timer = setTimeout(look, every);
    if (document.hidden) return;
    const number = ++asked;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (!answer.ok || number !== asked) return;
      show((await answer.json()).data);
    } catch {
      // The next look may succeed; the head of the page says that there is no connection.
    }
  }
  let soon = null;
  const now = (wait = 0) => {
    if (soon !== null) return;
    soon = setTimeout(() => {
      soon = null;
      look();
    }, wait);
  };
  document.addEventListener("visibilitychange", () => document.hidden || now());
  let state = connection.state;
  connection.listen((message) => {
    if (message.kind !== "state") return;
    if (message.state === "live" && state === "offline") now();
    state = message.state;
  });
  timer = setTimeout(look, every);
  return now;
}
