/** Seconds, or text with a unit: "90s", "5m", "1h30m". */
export type Duration = number | string;

export interface Thresholds {
  stuckAfter?: Duration;
  timeSinkRatio?: number;
  timeSinkAfter?: Duration;
  cpuRatio?: number;
  memoryRatio?: number;
  waitingAfter?: Duration;
}

/** What belongs to a process from its creation on. Ids (`user` … `group`) are texts to find it by. */
export interface Options {
  type?: "subagent" | "pipeline" | "cron" | "daemon" | "task";
  /** How many there are, in `unit`. */
  total?: number | bigint;
  unit?: string;
  /** Where resumed work begins; these do not count towards the rate. */
  current?: number | bigint;
  /** 1 to 64 letters, digits, _ and -; the same id again is the same process. */
  id?: string;
  /** Address of the exporter, or "off". Without it HEADWAY_URL, then http://127.0.0.1:14323. */
  url?: string;
  /** Without it HEADWAY_KEY, then the file HEADWAY_KEY_FILE. */
  key?: string;
  user?: string;
  project?: string;
  task?: string;
  attempt?: string;
  agent?: string;
  group?: string;
  /** Without it HEADWAY_PARENT_ID, which `headway run` sets. */
  parentId?: string;
  description?: string;
  /** Without it the command line of the script. */
  command?: string | string[];
  cwd?: string;
  host?: string;
  /** false: this OS process is not the work, so that its end says nothing. */
  pid?: boolean;
  executor?: boolean;
  stage?: string;
  metadata?: Record<string, unknown>;
  /** Twice that makes it a time sink. */
  expectedDuration?: Duration;
  timeout?: Duration;
  lease?: Duration;
  thresholds?: Thresholds;
  /** It looks at `cancelRequested`, or its `signal`. */
  cancellable?: boolean;
  /** update() and advance() throw Cancelled, once, after somebody asked to cancel it. */
  throwOnCancel?: boolean;
  /** It waits; start() or the first update begins it. */
  queued?: boolean;
}

export interface News {
  total?: number | bigint;
  unit?: string;
  stage?: string;
  summary?: string;
  /** Merged; null as a value removes. */
  metadata?: Record<string, unknown>;
  /** Items per minute, for a script that knows better than the exporter's estimate. */
  rate?: number;
  etaSeconds?: number;
  expectedDuration?: Duration;
  timeout?: Duration;
  thresholds?: Thresholds;
}

export class Cancelled extends Error {}

export class Reporter {
  constructor(name: string, options?: Options);
  readonly id: string;
  readonly name: string;
  readonly current: number | undefined;
  readonly total: number | undefined;
  readonly ended: boolean;
  readonly cancelRequested: boolean;
  readonly signal: AbortSignal;
  /** How far it is (in `unit`), and maybe a line of output. */
  update(current?: number | bigint | null, line?: string | null, more?: News): void;
  advance(n?: number | bigint): void;
  log(line: string): void;
  start(): void;
  pause(): void;
  resume(): void;
  /** Until `work` is over it waits for a person, who is to do `what` (one line); the value or error of `work` is passed on. */
  waiting<T>(what: string, work: () => T | Promise<T>): Promise<T>;
  done(summary?: string): void;
  fail(error?: unknown, more?: { exitCode?: number; summary?: string }): void;
  cancel(error?: unknown, more?: { summary?: string }): void;
  child(name: string, options?: Options): Reporter;
  /** Whether all that was said up to now has arrived, after `wait` seconds at most. */
  flush(wait?: number): Promise<boolean>;
}

/** Runs `work` and tells how it ended; its value or error is passed on. */
export function withReporter<T>(name: string, options: Options, work: (reporter: Reporter) => T | Promise<T>): Promise<T>;
export function withReporter<T>(name: string, work: (reporter: Reporter) => T | Promise<T>): Promise<T>;

/** A loop that reports. `name` is that of the script unless given, `total` the length of `items` where it has one. */
export function track<T>(
  items: Iterable<T> | AsyncIterable<T>,
  options?: Options & { name?: string },
): { reporter: Reporter } & Iterable<T> & AsyncIterable<T>;

/** Whether everything that any reporter said has arrived, after `wait` seconds at most. */
export function flush(wait?: number): Promise<boolean>;
