// The rows of the active view as they are now, from the stream of changes; by polling while there is none.
// Used by the shared worker, and by a page itself where the browser has no shared workers.

const POLL = 2000; // ms between two looks while the stream is away
const REOPEN = 2000;
export const POINT = 5000; // ms between two points of a line, as the exporter takes them
const POINTS = 60;

/** Gives the line of each active row its next point, from the figure that stands beside it. */
export function addPoints(rows) {
  for (const row of rows.values()) {
    if (row.cpu === "" || row.ended !== null) continue;
    row.trend = [...(row.trend ?? []), parseFloat(row.cpu) / 100].slice(-POINTS);
  }
}

export class Feed {
  /** `tell` gets {kind: "reset" | "frame", rows, gone, counts, notice, now} and {kind: "state", state, since}. */
  constructor(tell) {
    this.tell = tell;
    this.rows = new Map();
    this.counts = null;
    this.notice = null;
    this.now = null;
    this.state = "connecting";
    this.since = Date.now();
    this.polling = null;
    this.points = setInterval(() => addPoints(this.rows), POINT);
    this.open();
  }

  open() {
    this.source?.close();
    const source = (this.source = new EventSource("/live"));
    source.onopen = () => this.live();
    source.onmessage = (event) => this.frame(JSON.parse(event.data));
    source.onerror = () => {
      this.poll();
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself, and says what it has seen
      setTimeout(() => this.source === source && this.open(), REOPEN);
    };
  }

  close() {
    this.source.close();
    this.source = null;
    clearTimeout(this.polling);
    clearInterval(this.points);
  }

  live() {
    clearTimeout(this.polling);
    this.polling = null;
    this.become("live");
  }

  frame(frame) {
    if (frame.reset) this.rows.clear();
    for (const row of frame.rows) this.rows.set(row.id, { ...this.rows.get(row.id), ...row });
    for (const id of frame.gone ?? []) this.rows.delete(id);
    this.counts = frame.counts ?? this.counts;
    if (frame.notice !== undefined) this.notice = frame.notice;
    this.now = frame.now;
    if (frame.reset) this.tell(this.everything());
    else this.tell({ kind: "frame", ...frame });
  }

  everything() {
    return { kind: "reset", rows: [...this.rows.values()], counts: this.counts, notice: this.notice, now: this.now };
  }

  present() {
    return { kind: "state", state: this.state, since: this.since };
  }

  become(state) {
    if (this.state !== state) {
      this.state = state;
      this.since = Date.now();
    }
    this.tell(this.present());
  }

  /** Looks now and then until the stream is back. */
  poll() {
    if (this.polling !== null) return;
    const look = async () => {
      const state = await this.look();
      if (this.polling === null || !this.source) return;
      this.become(state);
      this.polling = setTimeout(look, POLL);
    };
    this.polling = setTimeout(look, 0);
  }

  async look() {
    try {
      const answer = await fetch("/processes", { headers: { Accept: "application/json" }, redirect: "error", cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) return "refused";
      if (!answer.ok) return "offline";
      const { data } = await answer.json();
      if (this.polling !== null) this.frame({ ...data, reset: true });
      return "polling";
    } catch {
      return "offline";
    }
  }
}
