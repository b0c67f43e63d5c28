// What changes by time alone: how long something has been going on, and moments in the reader's time zone.

const started = new WeakMap(); // element of a row → its times
let offset = 0; // how far the exporter's clock is before this one (s)

/** Called with the exporter's time (unix s) whenever it says it. */
export function setClock(now) {
  offset = now - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + offset;
}

/** Says when the process of a row began and ended (unix s, null: not yet); its clocks go by that. */
export function setTimes(element, row) {
  started.set(element, { started: row.started, ended: row.ended });
  tickRow(element, now());
}

export function tick(root) {
  const at = now();
  for (const element of root.querySelectorAll("[data-key]")) if (started.has(element)) tickRow(element, at);
}

function tickRow(element, at) {
  const times = started.get(element);
  for (const clock of element.querySelectorAll("[data-clock]")) {
    const text = clock.dataset.clock === "ago" ? ago(times, at) : elapsed(times, at);
    if (clock.textContent !== text) clock.textContent = text;
  }
}

function elapsed(times, at) {
  return times.started == null ? "" : duration(Math.max(0, (times.ended ?? at) - times.started));
}

function ago(times, at) {
  return times.ended == null ? "" : `${duration(Math.max(0, Math.round(at - times.ended)))} ago`;
}

/** As headway.durations.format_duration: at most two units. */
export function duration(seconds) {
  if (seconds < 9.95) return `${String(Math.round(seconds * 10) / 10)}s`;
  const whole = even(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return two(whole, 60, "m", 1, "s");
  const minutes = even(seconds / 60);
  if (minutes < 1440) return two(minutes, 60, "h", 1, "m");
  return two(even(seconds / 3600), 24, "d", 1, "h");
}

// Python rounds a half to the even neighbour.
function even(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

function two(amount, large, largeUnit, small, smallUnit) {
  const whole = Math.floor(amount / large);
  const rest = Math.floor((amount % large) / small);
  return rest ? `${whole}${largeUnit} ${rest}${smallUnit}` : `${whole}${largeUnit}`;
}

const FORMAT = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" };

/** A moment (RFC 3339) in the reader's time zone: 2026-01-31 08:00:00. */
export function when(text) {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-GB", { ...FORMAT, hourCycle: "h23" }).formatToParts(new Date(text)).map((p) => [p.type, p.value]),
  );
  return `${parts.year}-${parts.month}-${parts.day} ${parts.hour}:${parts.minute}:${parts.second}`;
}

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]")) element.textContent = when(element.dateTime);
}
