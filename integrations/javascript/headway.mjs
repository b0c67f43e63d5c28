// Tells a Headway exporter how far a Node script is: one file, no dependencies, Node 18 or newer.
//
// A call of update() stores a value. About once a second what changed is sent, for all reporters in one request, over a socket that
// does not keep the script alive. What could not be sent when the script ends is written to the spool of this machine, from where
// the exporter (or the next reporter in Python) takes it.

import { webcrypto as crypto } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

const DEFAULT_URL = "http://127.0.0.1:14323";
const OFF = "off";
const VERSION = "0.1.0";
// Milliseconds between two looks at what changed; after a creation or an end the next look comes sooner, many of them share it.
const INTERVAL = Math.min(Math.max(Number(process.env.HEADWAY_INTERVAL) * 1000 || 1000, 50), 3_600_000);
const GAP = 50;
const REQUEST_TIMEOUT = 10_000;
// The script waits so long at its end for the last request, and not at all when nothing listens (HEADWAY_EXIT_WAIT, seconds).
const EXIT_WAIT = Math.max(0, Number(process.env.HEADWAY_EXIT_WAIT ?? 2) || 0) * 1000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const HEARTBEAT = 60;
const CANCELLABLE_HEARTBEAT = 1;
// Seconds after a refusal because the process has ended there, until the next word of it.
const REFUSED_PAUSE = 60;
// Seconds after a loop was left early: whether an error ends the script is known by then.
const LEFT_GRACE = 1;
const MAX_ITEMS = 500;
const MAX_LINES = 500;
const MAX_LINE = 8192;
const MAX_COUNT = 2 ** 53;
const MAX_ENDED = 1000;
const MAX_BYTES = 1024 * 1024;
const KINDS = ["subagent", "pipeline", "cron", "daemon", "task"];
const LABELS = ["user", "project", "task", "attempt", "agent", "group"];
const CREATION = [
  ...LABELS, "type", "parent_id", "description", "command", "cwd", "executor", "stage", "metadata", "expected_duration", "timeout",
  "lease", "thresholds", "cancellable", "host",
];
const OPTIONS = [...CREATION, "total", "unit", "current", "id", "url", "key", "pid", "queued", "throw_on_cancel"];
const LONGEST = {
  name: 512, description: 4096, command: 16384, cwd: 4096, summary: 4096, error: 4096, stage: 256, unit: 64, waiting_for: 160,
  ...Object.fromEntries(LABELS.map((label) => [label, 256])),
};

// How a loop that was left early tells its reporter.
const LEAVE = Symbol("leave");

/** Thrown once by update() or advance() of a reporter with `throwOnCancel`, after somebody asked to cancel it. */
export class Cancelled extends Error {
  name = "Cancelled";
}

/** One tracked process, from its creation to `done()`, `fail()` or `cancel()`. Its calls never throw (but for the opted-in
 * Cancelled), never wait and do no I/O. headway.d.mts says what each takes. */
export class Reporter {
  #box;
  #options;
  #throws;
  #thrown = false;

  constructor(name, options = {}) {
    this.#options = known(options);
    this.#throws = Boolean(this.#options.throw_on_cancel);
    this.#box = new Outbox(name, this.#options);
    hub.add(this.#box);
  }

  get id() { return this.#box.id; }
  get name() { return this.#box.creation.name; }
  get current() { return this.#box.progress.current; }
  get total() { return this.#box.progress.total; }
  get ended() { return this.#box.final !== null; }
  get cancelRequested() { return this.#box.cancel.signal.aborted; }
  /** An AbortSignal, for fetch and the like: aborted when somebody asks to cancel a `cancellable` reporter. */
  get signal() { return this.#box.cancel.signal; }

  update(current, line, more) {
    if (!nothing(current)) this.#box.count("current", current);
    if (!nothing(line)) this.#box.log(line);
    if (more) this.#box.more(more);
    if (this.#throws) this.#attend();
  }

  advance(n = 1) {
    const count = counted(n);
    this.#box.count("current", count === null ? n : (this.#box.progress.current ?? 0) + count);
    if (this.#throws) this.#attend();
  }

  log(line) { this.#box.log(line); }
  /** Until `work` is over a person is to do this; its value or error is passed on. */
  async waiting(what, work) {
    const over = this.#box.wait(what);
    try {
      return await work();
    } finally {
      over();
    }
  }
  start() { this.#box.change("running"); }
  pause() { this.#box.change("paused"); }
  resume() { this.#box.change("running"); }
  done(summary) { this.#box.finish({ status: "done" }, summary); }
  fail(error, { exitCode, summary } = {}) {
    if (error instanceof Error) for (const line of trace(error)) this.#box.log(line);
    this.#box.finish({ status: "failed", error: described(error), exit_code: exitCode }, summary);
  }
  cancel(error, { summary } = {}) { this.#box.finish({ status: "cancelled", error: described(error) }, summary); }

  /** A reporter whose parent is this one; what it belongs to is inherited unless given. */
  child(name, options = {}) {
    const { url, key } = this.#options;
    const own = Object.fromEntries(LABELS.map((label) => [label, this.#options[label]]));
    return new Reporter(name, { url, key, ...own, ...options, parentId: this.id });
  }

  /** Resolves to whether all that was said up to now has arrived, after `wait` seconds at most. */
  flush(wait = 5) { return hub.flush([this.#box], wait * 1000); }

  [LEAVE](summary) { this.#box.leave(summary); }

  #attend() {
    if (this.cancelRequested && !this.#thrown && !this.ended) {
      this.#thrown = true;
      throw new Cancelled(`process ${this.name} (${this.id}) was asked to cancel`);
    }
  }
}

/** Runs `work(reporter)` and tells how it ended: done when it returns, cancelled after Cancelled or an abort, else failed. The value
 * or the error of `work` is passed on. */
export async function withReporter(name, options, work) {
  if (typeof options === "function") [options, work] = [{}, options];
  const reporter = new Reporter(name, options);
  try {
    const value = await work(reporter);
    reporter.done();
    return value;
  } catch (error) {
    if (error instanceof Cancelled || (error?.name === "AbortError" && reporter.cancelRequested)) reporter.cancel("cancel was requested");
    else reporter.fail(error);
    throw error;
  }
}

/** A loop that reports: `for (const x of track(items, {name}))`, and `for await` over anything asynchronous. */
export function track(items, options = {}) {
  const { name = path.basename(process.argv[1] ?? "node"), total = items?.length ?? items?.size, ...rest } = options;
  const reporter = new Reporter(name, { ...rest, total });
  const step = (result) => {
    if (result.done) reporter.done();
    return result;
  };
  const failed = (error) => {
    reporter.fail(error);
    throw error;
  };
  // A count is said when the loop asks for the next item: then the one before is done.
  const looped = (source, asynchronous) => {
    let begun = false;
    const next = () => {
      if (begun) reporter.advance();
      begun = true;
      try {
        const result = source.next();
        return asynchronous ? Promise.resolve(result).then(step, failed) : step(result);
      } catch (error) {
        return failed(error);
      }
    };
    const leave = (value) => {
      reporter[LEAVE](`left after ${reporter.current ?? 0}${total === undefined ? "" : ` of ${total}`}`);
      return source.return?.(value) ?? { done: true, value };
    };
    return {
      next: asynchronous ? async () => next() : next,
      return: asynchronous ? async (value) => leave(value) : leave,
    };
  };
  return {
    reporter,
    [Symbol.iterator]: () => looped(items[Symbol.iterator](), false),
    [Symbol.asyncIterator]: () => looped((items[Symbol.asyncIterator] ?? items[Symbol.iterator]).call(items), true),
  };
}

/** Resolves to whether everything that any reporter said has arrived, after `wait` seconds at most. */
export function flush(wait = 5) { return hub.flush([...hub.boxes], wait * 1000); }

// ── what one reporter has still to say ─────────────────────────────────────────────────────────────────────────────────

class Outbox {
  constructor(name, options) {
    this.id = checkedId(options.id) ?? uuid7();
    this.url = address(options.url);
    this.key = options.key;
    this.began = now();
    this.creation = created(name, options);
    this.progress = {};
    this.changes = {};
    this.metadata = null;
    this.lines = [];
    this.dropped = 0;
    this.changed = false;
    this.status = null;
    this.final = null;
    this.left = null;
    this.waits = new Map();
    this.waiting = [];
    this.created = false;
    this.finished = this.url === OFF;
    this.seq = 0;
    this.heardAt = -Infinity;
    this.muteUntil = -Infinity;
    this.cancel = new AbortController();
    this.heartbeat = options.cancellable || options.throw_on_cancel ? CANCELLABLE_HEARTBEAT : HEARTBEAT;
    if (typeof options.lease === "number") this.heartbeat = Math.min(this.heartbeat, options.lease / 4);
    // With a total the work begins at 0 unless it is resumed; without any count it has none.
    const begin = options.current ?? (nothing(options.total) ? undefined : 0);
    for (const [field, value] of [["current", begin], ["total", options.total]]) {
      const found = nothing(value) ? null : this.checked(field, value);
      if (found !== null) this.progress[field] = found;
    }
    const progress = { ...this.progress };
    if (!nothing(options.unit)) progress.unit = cut(options.unit, LONGEST.unit);
    if (!nothing(options.current) && progress.current !== undefined) progress.initial = progress.current;
    if (Object.keys(progress).length) this.creation.progress = progress;
  }

  checked(field, value) {
    const found = counted(value);
    if (found === null) warn(`value ${field}`, `${field} ignored: ${brief(value)} is not a number within 0 to 2^53`);
    return found;
  }

  count(field, value) {
    const found = this.checked(field, value);
    if (found === null) return;
    this.progress[field] = found;
    (this.changes.progress ??= {})[field] = found;
    this.changed = true;
    if (field === "current" && this.creation.status === "queued" && this.status === null && !this.running) this.change("running");
  }

  log(line) {
    for (const part of String(line).split(/\r\n|\r|\n/)) {
      if (this.lines.length >= MAX_LINES) {
        this.lines.shift();
        this.dropped += 1;
      }
      this.lines.push(cut(part, MAX_LINE));
    }
    this.changed = true;
  }

  more(given) {
    for (const [name, value] of Object.entries(given)) {
      const field = snake(name);
      if (value === undefined) continue;
      if (field === "total") this.count("total", value);
      else if (field === "unit") (this.changes.progress ??= {}).unit = cut(value, LONGEST.unit);
      else if (field === "metadata") this.metadata = { ...this.metadata, ...plain(value) };
      else if (["stage", "summary"].includes(field)) this.changes[field] = cut(value, LONGEST[field]);
      else if (["rate", "eta_seconds", "expected_duration", "timeout", "thresholds"].includes(field)) this.changes[field] = value;
      else {
        warn(`option ${name}`, `update: there is no ${name}; there are total, unit, stage, summary, metadata, rate, etaSeconds, expectedDuration, timeout and thresholds`);
        continue;
      }
      this.changed = true;
    }
  }

    change(status) {
    this.running = true;
    this.status = { status, at: now() };
    hub.wake();
  }

  /** Says that it waits, and gives what says that this is over. Of several at once the one that began last and still lasts is told. */
  wait(what) {
    const own = {};
    const tell = () => {
      this.changes.waiting_for = [...this.waits.values()].at(-1) ?? null;
      this.changed = true;
    };
    const words = cut(String(what).split(/\s+/).filter(Boolean).join(" "), LONGEST.waiting_for);
    this.waits.set(own, words || "an answer");
    tell();
    return () => {
      if (this.waits.delete(own)) tell();
    };
  }

  finish(words, summary) {
    if (this.final !== null) return;
    const said = Object.fromEntries(Object.entries(words).filter(([, value]) => !nothing(value)));
    if (!nothing(summary)) this.changes.summary = cut(summary, LONGEST.summary);
    this.final = { at: now(), words: said };
    hub.wake();
  }

  /** A loop was left: by break, or by an error that may end the script. */
  leave(summary) {
    if (this.final === null) this.left = { at: now(), summary };
  }

  /** The items to be sent now; the same again until each is settled. */
  items(at, last = false) {
    if (this.left !== null && this.final === null && at - this.left.at >= LEFT_GRACE) this.finish({ status: "done" }, this.left.summary);
    if (this.waiting.length && !(last && !this.waiting.some((item) => item.final))) return this.waiting;
    if (this.finished || (at < this.muteUntil && this.final === null)) return this.waiting;
    const made = [];
    if (this.status !== null) {
      made.push({ body: { status: this.status.status }, at: this.status.at, seq: this.next() });
      this.status = null;
    }
    if (this.final !== null || this.changed) {
      const body = this.changes;
      if (this.lines.length) {
        if (this.dropped) this.lines.unshift(`… ${this.dropped} lines dropped, faster than they can be sent …`);
        body.log = this.lines;
      }
      if (this.metadata !== null) body.metadata = this.metadata;
      const when = this.final?.at ?? at;
      Object.assign(body, this.final?.words);
      made.push({ body, at: when, seq: this.next(), final: this.final !== null });
      [this.changes, this.lines, this.dropped, this.metadata, this.changed] = [{}, [], 0, null, false];
    }
    if (!made.length && (!this.created || at - this.heardAt >= this.heartbeat)) made.push({ body: { alive: true }, at, seq: this.next() });
    if (made.length && !this.created && !this.waiting.length) made[0].create = true;
    this.waiting.push(...made);
    return this.waiting;
  }

  /** Microseconds of the wall clock, always growing: also over executions that use the same id again. */
  next() { return (this.seq = Math.max(this.seq + 1, Date.now() * 1000)); }

  rendered(item, at) {
    const shown = { id: this.id, age: Math.max(0, at - item.at), ...item.body, seq: item.seq };
    if (item.create) shown.create = { ...this.creation, started_age: Math.max(0, at - this.began) };
    return shown;
  }

  /** Takes the answer to an item. True if it must be tried again later. */
  settle(item, result, at) {
    const { status } = result;
    const problem = result.error ?? {};
    const detail = problem.detail ?? problem.title ?? status;
    this.heardAt = at;
    if (status === 200) {
      this.created ||= Boolean(item.create);
      if (result.cancel_requested && !this.cancel.signal.aborted) this.cancel.abort(new Cancelled(`process ${this.id} was asked to cancel`));
      this.dispose(item);
    } else if (status >= 500 || status === 408 || status === 429 || ((status === 401 || status === 403) && !problem.field)) {
      return true;
    } else if (status === 404 && !item.create) {
      item.create = true; // it lost its memory, or never had it
    } else if (status === 409 && problem.field !== "id") {
      this.created = true;
      this.muteUntil = at + REFUSED_PAUSE;
      this.dispose(item);
    } else if (!this.without(item, problem.field ?? "", detail)) {
      if (item.final && Object.keys(item.body).length > 1) {
        item.body = { status: item.body.status }; // the end itself must arrive
        return false;
      }
      warn(`refused ${this.id}`, `${brief(this.creation.name)} is refused: ${detail}`);
      this.finished ||= Boolean(item.create);
      this.dispose(item);
    }
    return false;
  }

  dispose(item) {
    this.finished ||= Boolean(item.final);
    this.waiting = this.waiting.filter((other) => other !== item);
    if (this.waiting.length && !this.created) this.waiting[0].create = true;
  }

  /** Leaves out the field that was refused, so that the rest arrives. False if it cannot be left out. */
  without(item, where, detail) {
    const [field, below] = String(where).split(/[^A-Za-z0-9_]+/).filter((part) => part && !/^\d+$/.test(part) && !["items", "create"].includes(part));
    if (!field || ["name", "type", "status"].includes(field)) return false;
    for (const fields of [item.create ? this.creation : {}, item.body]) {
      if (!(field in fields)) continue;
      const inner = fields[field];
      if (below && field !== "metadata" && inner !== null && typeof inner === "object" && below in inner && Object.keys(inner).length > 1) delete inner[below];
      else delete fields[field];
      warn(`value ${where}`, `${where} ignored: ${detail}`);
      return true;
    }
    return false;
  }
}

// ── sending ────────────────────────────────────────────────────────────────────────────────────────────────────────────

class Undelivered extends Error {
  constructor(cause, message, retryAfter = 0) {
    super(message);
    this.reason = cause;
    this.retryAfter = retryAfter;
  }
}

class Link {
  constructor(url, key) {
    Object.assign(this, { url, key, failures: 0, notBefore: 0, busy: null });
    this.transport = url.startsWith("https:") ? https : http;
    this.agent = new this.transport.Agent({ keepAlive: true, maxSockets: 1 });
  }

  /** The results of these items (as JSON texts). A request that is refused as a whole is divided until the wrong item is alone.
   * Throws Undelivered. */
  async deliver(items, hold) {
    const results = [];
    for (let first = 0, last; first < items.length; first = last) {
      let size = 0;
      for (last = first; last < items.length && last - first < MAX_ITEMS && (last === first || size + items[last].length <= MAX_BYTES); last += 1) size += items[last].length;
      results.push(...(await this.part(items.slice(first, last), hold)));
    }
    return results;
  }

  async part(items, hold) {
    const { status, body, retryAfter } = await this.post(`{"items":[${items.join(",")}]}`, hold);
    const said = () => `${this.url} answers ${status}${body?.detail ? `: ${body.detail}` : ""}`;
    if (status === 200 && Array.isArray(body?.data) && body.data.length === items.length) return body.data;
    if ([400, 413, 422].includes(status)) {
      if (items.length === 1) return [{ status, error: { detail: said(), field: body?.field } }];
      const middle = items.length >> 1;
      return [...(await this.part(items.slice(0, middle), hold)), ...(await this.part(items.slice(middle), hold))];
    }
    if (status === 401 || status === 403) throw new Undelivered("key", `${said()}; set HEADWAY_KEY to a key with the role reporter`);
    if (status === 200) throw new Undelivered("foreign", `${this.url} does not answer like a Headway exporter`);
    if (status < 500 && status !== 408 && status !== 429) throw new Undelivered("foreign", `${said().replace(/\.+$/, "")}; that seems to be no Headway exporter`);
    throw new Undelivered("down", said(), retryAfter);
  }

  /** `hold`: whether the script is kept alive meanwhile. */
  post(text, hold) {
    return new Promise((resolve, reject) => {
      const headers = { "Content-Type": "application/json", "User-Agent": `headway-javascript/${VERSION}` };
      headers["Content-Length"] = Buffer.byteLength(text);
      if (text.includes('"log":')) headers["Headway-Durable"] = "1";
      const fail = (error) => reject(new Undelivered("down", `${this.url} cannot be reached (${error.code ?? error.message})`));
      try {
        const key = foundKey(this.key);
        if (key) headers.Authorization = `Bearer ${key}`;
        const request = this.transport.request(`${this.url}/api/processes/batch`, { method: "POST", headers, agent: this.agent, timeout: REQUEST_TIMEOUT });
        request.on("socket", (socket) => (hold ? socket.ref() : socket.unref()));
        request.on("timeout", () => request.destroy(new Error("no answer within 10 s")));
        request.on("error", fail);
        request.on("response", (response) => {
          const chunks = [];
          response.on("data", (chunk) => chunks.push(chunk));
          response.on("error", fail);
          response.on("end", () => {
            let body = null;
            try {
              body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
            } catch {
              // What is no JSON is judged by its status.
            }
            resolve({ status: response.statusCode, body, retryAfter: Number(response.headers["retry-after"]) * 1000 || 0 });
          });
        });
        request.end(text);
      } catch (error) {
        fail(error);
      }
    });
  }

  failed(retryAfter) {
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(this.failures, 10)) * (0.5 + Math.random() / 2);
    this.failures += 1;
    this.notBefore = now() + Math.max(pause, Math.min(retryAfter, 60_000)) / 1000;
  }
}

class Hub {
  boxes = new Set();
  links = new Map();
  timer = null;
  due = Infinity;
  watching = false;
  error = null;

  add(box) {
    if (box.finished) return;
    this.boxes.add(box);
    this.watch();
    this.wake();
  }

  wake(pause = GAP) {
    const due = performance.now() + pause;
    if (this.timer !== null && this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.turn(), pause);
    this.timer.unref();
  }

  async turn() {
    this.timer = null;
    await Promise.all([...this.groups()].map(([link, boxes]) => (now() >= link.notBefore ? this.send(link, boxes, false) : this.relieve(link, boxes))));
    if (this.boxes.size) this.wake(INTERVAL);
    else this.unwatch();
  }

  groups(boxes = this.boxes) {
    const found = new Map();
    for (const box of boxes) {
      const name = `${box.url}\n${box.key ?? ""}`;
      if (!this.links.has(name)) this.links.set(name, new Link(box.url, box.key));
      const link = this.links.get(name);
      found.set(link, [...(found.get(link) ?? []), box]);
    }
    return found;
  }

  /** Sends what these have to say, one request at a time for each exporter. */
  async send(link, boxes, hold) {
    while (link.busy !== null) await link.busy;
    link.busy = this.rounds(link, boxes, hold).finally(() => (link.busy = null));
    return link.busy;
  }

  async rounds(link, boxes, hold) {
    try {
      for (let round = 0; round < 5; round += 1) {
        const at = now();
        const sent = boxes.flatMap((box) => box.items(at).map((item) => ({ box, item })));
        if (!sent.length) break;
        const results = await link.deliver(sent.map(({ box, item }) => json(box.rendered(item, at))), hold);
        let later = false;
        sent.forEach(({ box, item }, index) => {
          later = box.settle(item, results[index], now()) || later;
          if (box.finished) this.boxes.delete(box);
        });
        if (later) throw new Undelivered("down", `${link.url} cannot take reports now`);
      }
      link.failures = link.notBefore = 0;
    } catch (error) {
      link.failed(error.retryAfter ?? 0);
      const what = error instanceof Undelivered ? error.message : `internal error in the reporter: ${error?.stack ?? error}`;
      warn(`${error.reason ?? "internal"} ${link.url}`, `${what.replace(/\.+$/, "")}. The script goes on; what it reports is kept and sent later.`);
      this.relieve(link, boxes);
    }
  }

  /** While an exporter is away, a script that tracks many short processes must not grow without bound. */
  relieve(link, boxes) {
    const ended = boxes.filter((box) => box.final !== null && !box.finished);
    if (ended.length > MAX_ENDED && link.busy === null) this.spool(link.url, ended);
  }

  async flush(boxes, wait) {
    const deadline = now() + wait / 1000;
    const waits = () => boxes.some((box) => !box.finished && (!box.created || box.waiting.length > 0 || box.changed || box.status !== null || box.final !== null));
    while (waits() && now() < deadline) {
      const sending = Promise.all([...this.groups(boxes.filter((box) => !box.finished))].map(([link, some]) => this.send(link, some, true)));
      await within(sending, deadline - now());
      if (waits() && now() < deadline) await pause(100);
    }
    return !waits();
  }

  // ── how the script ends ──────────────────────────────────────────────────────────────────────────────────────────────

  watch() {
    if (this.watching) return;
    this.watching = true;
    process.on("uncaughtExceptionMonitor", this.noted);
    process.on("beforeExit", this.idle);
    process.on("exit", this.over);
    if (isMainThread) for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, this.signalled);
  }

  /** While nothing is tracked, the script's signals and listeners are its own alone. */
  unwatch() {
    if (!this.watching) return;
    this.watching = false;
    process.off("uncaughtExceptionMonitor", this.noted);
    process.off("beforeExit", this.idle);
    process.off("exit", this.over);
    for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, this.signalled);
  }

  noted = (error) => {
    if (process.listenerCount("uncaughtException") === 0) this.error = error; // else the script goes on
  };

  /** Nothing is left to do for the script: what it did not say itself follows from how it ends. */
  idle = async (code) => {
    if (!this.boxes.size || this.concluded) return;
    this.conclude(code);
    this.concluded = true; // whoever has no exporter must not wait for ever
    const reachable = [...this.groups().keys()].some((link) => link.failures === 0 || link.notBefore - now() < EXIT_WAIT / 1000);
    if (reachable) await this.last();
  };

  async last() {
    const deadline = now() + EXIT_WAIT / 1000;
    for (const link of this.groups().keys()) link.notBefore = 0;
    while (this.boxes.size && now() < deadline) {
      const failures = [...this.groups()].map(([link]) => link.failures);
      const sending = Promise.all([...this.groups()].map(([link, boxes]) => this.send(link, boxes, true)));
      await within(sending, deadline - now());
      if ([...this.groups()].some(([link], index) => link.failures > (failures[index] ?? 0))) return;
    }
  }

  over = (code) => {
    this.conclude(code);
    for (const [link, boxes] of this.groups()) this.spool(link.url, boxes);
  };

  conclude(code) {
    for (const box of this.boxes) {
      if (box.final !== null) continue;
      if (this.error !== null) {
        for (const line of trace(this.error)) box.log(line);
        box.finish({ status: "failed", error: described(this.error), exit_code: code || 1 });
      } else if (code) box.finish({ status: "failed", error: `ended with exit code ${code}`, exit_code: code });
      else box.finish({ status: "done" }, box.left?.summary);
    }
  }

  /** A signal that nobody but this listens to ends the script as it would have without it. */
  signalled = (signal) => {
    if (process.listenerCount(signal) > 1) return;
    for (const box of this.boxes) {
      if (signal === "SIGINT") box.finish({ status: "cancelled", error: "SIGINT" });
      else box.finish({ status: "killed", signal: os.constants.signals[signal], error: `ended by ${signal}` });
    }
    this.over(0);
    this.boxes.clear();
    this.unwatch();
    process.kill(process.pid, signal);
  };

  /** Writes what is left to say to disk: the exporter on this machine, or the next Python reporter, delivers it. */
  spool(url, boxes) {
    const at = now();
    const items = boxes.flatMap((box) => box.items(at, true).map((item) => box.rendered(item, at)));
    for (const box of boxes) {
      this.boxes.delete(box);
      box.finished = true;
    }
    if (!items.length) return;
    let folder = "the spool";
    try {
      folder = spoolFolder();
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
      const temporary = path.join(folder, `${uuid7()}-${process.pid}.tmp`);
      const file = fs.openSync(temporary, "wx", 0o600);
      try {
        fs.writeSync(file, items.map((item) => `${json({ ...item, url, at: Date.now() / 1000 })}\n`).join(""));
        fs.fsyncSync(file);
      } finally {
        fs.closeSync(file);
      }
      fs.renameSync(temporary, temporary.replace(/\.tmp$/, ".ready"));
      warn(`down ${url}`, `${url} has not taken yet how this script ended. It is kept in ${folder} and sent later.`);
    } catch (error) {
      warn("spool", `how this script ended could neither be sent nor written to ${folder}: ${error.message}`);
    }
  }
}

const hub = new Hub();

// ── values ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Seconds on a clock that nobody sets. */
function now() { return performance.now() / 1000; }

/** Waits for a promise, so many seconds at most; the script is kept alive meanwhile, and not longer. */
async function within(promise, seconds) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, Math.max(1, seconds * 1000))));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function pause(milliseconds) { return new Promise((resolve) => setTimeout(resolve, milliseconds)); }

const warned = new Set();

/** One warning of each: a script's output is its own. */
function warn(cause, text) {
  if (warned.has(cause) || warned.size >= 100) return;
  warned.add(cause);
  // At the end of the script nobody listens to warnings any more.
  process.stderr.write(`headway: ${text}\n`);
}

function snake(name) { return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`); }

function known(options) {
  const found = {};
  for (const [name, value] of Object.entries(options)) {
    const field = snake(name);
    if (OPTIONS.includes(field)) found[field] = value;
    else warn(`option ${name}`, `there is no option ${name}; there are ${OPTIONS.map((one) => one.replace(/_(.)/g, (_, letter) => letter.toUpperCase())).join(", ")}`);
  }
  return found;
}

function created(name, options) {
  const found = { name: cut(name ?? "unnamed", LONGEST.name), type: "task", ...surroundings() };
  if (!/[^\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]/.test(found.name)) {
    warn("value name", `name ignored: ${brief(name)} is blank; it is reported as "unnamed"`);
    found.name = "unnamed";
  }
  if (options.pid === false) for (const field of ["pid", "create_time", "pid_namespace"]) delete found[field];
  const parent = options.parent_id ?? process.env.HEADWAY_PARENT_ID;
  if (parent) found.parent_id = parent;
  if (options.queued) found.status = "queued";
  if (options.throw_on_cancel) found.cancellable = true;
  for (const field of CREATION) {
    const value = options[field];
    if (nothing(value) || field === "parent_id") continue;
    if (field === "type" && !KINDS.includes(value)) warn("value type", `type ignored: ${brief(value)} is none of ${KINDS.join(", ")}; it is reported as a task`);
    else if (field === "command" && Array.isArray(value)) found.command = shellWords(value);
    else if (field === "metadata") found.metadata = plain(value);
    else if (field === "thresholds") found.thresholds = Object.fromEntries(Object.entries(value).map(([key, one]) => [snake(key), one]));
    else found[field] = field in LONGEST ? cut(value, LONGEST[field]) : value;
  }
  return found;
}

let around = null;

/** What is known of this OS process: command line, user, folder, and what tells it from every other. Never the environment. */
function surroundings() {
  if (around !== null) return { ...around, ...attempt(() => ({ cwd: process.cwd() })) };
  around = {
    host: os.hostname(),
    pid: process.pid,
    command: cut(shellWords([process.argv0, ...process.execArgv, ...process.argv.slice(1)]), LONGEST.command),
    ...attempt(() => ({ user: os.userInfo().username })),
    ...attempt(() => ({ create_time: createTime(), pid_namespace: fs.statSync("/proc/self/ns/pid").ino })),
  };
  return surroundings();
}

function attempt(call) {
  try {
    return call();
  } catch {
    return {};
  }
}

/** Unix seconds at which this OS process began: boot time and field 22 of its stat, in hundredths as Linux gives them to programs. */
function createTime() {
  const stat = fs.readFileSync("/proc/self/stat", "latin1");
  const ticks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  const boot = Number(/^btime (\d+)$/m.exec(fs.readFileSync("/proc/stat", "latin1"))[1]);
  return boot + ticks / 100;
}

function shellWords(words) {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", `'"'"'`)}'`)).join(" ");
}

function nothing(value) { return value === undefined || value === null; }

/** A number of items: 0 to 2^53; null for anything else. */
function counted(value) {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && number >= 0 && number <= MAX_COUNT ? number : null;
}

/** A text that UTF-8 can hold: halves of a pair alone are no character. */
function wellFormed(text) { return text.replace(/\p{Surrogate}/gu, "\ufffd"); }

function cut(value, longest) {
  const text = wellFormed(String(value));
  return text.length > longest ? `${wellFormed(text.slice(0, longest - 1))}…` : text;
}

function brief(value) { return cut(typeof value === "string" ? JSON.stringify(value) : String(value), 60); }

/** `value` as JSON would read it back; what JSON cannot hold is left out with a warning. */
function plain(value) {
  try {
    return JSON.parse(JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : typeof inner === "string" ? wellFormed(inner) : inner))) ?? {};
  } catch (error) {
    warn("value metadata", `metadata ignored: ${error.message.split("\n")[0]}`);
    return {};
  }
}

/** ASCII only, so that the length of a text is its size. */
function json(value) {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function described(error) {
  if (nothing(error)) return undefined;
  return cut(error instanceof Error ? `${error.name}: ${error.message}` : error, LONGEST.error);
}

function trace(error) {
  return error instanceof Error && typeof error.stack === "string" ? error.stack.split("\n").slice(0, 20) : [];
}

function checkedId(id) {
  if (nothing(id)) return null;
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id)) return id;
  warn("value id", `id ignored: ${brief(id)} is not 1 to 64 letters, digits, _ and -`);
  return null;
}

/** Sorts by the time it was made (RFC 9562, version 7). */
function uuid7() {
  const time = Date.now().toString(16).padStart(12, "0");
  const random = [...crypto.getRandomValues(new Uint8Array(10))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const variant = (8 + (parseInt(random[3], 16) & 3)).toString(16);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`;
}

function address(url) {
  const found = String(url || process.env.HEADWAY_URL || DEFAULT_URL).trim().replace(/\/+$/, "");
  if (found.toLowerCase() === OFF) return OFF;
  return found.includes("://") ? found : `http://${found}`;
}

function foundKey(key) {
  let found = key || process.env.HEADWAY_KEY;
  if (!found && process.env.HEADWAY_KEY_FILE) found = fs.readFileSync(process.env.HEADWAY_KEY_FILE, "utf8");
  return found ? found.trim() : null;
}

function spoolFolder() {
  const { HEADWAY_SPOOL, XDG_STATE_HOME } = process.env;
  if (HEADWAY_SPOOL) return HEADWAY_SPOOL;
  if (process.geteuid?.() === 0) return "/var/lib/headway/spool";
  if (XDG_STATE_HOME) return path.join(XDG_STATE_HOME, "headway", "spool");
  return path.join(os.homedir(), ".local", "state", "headway", "spool");
}
