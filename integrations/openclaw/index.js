// Passes what sessions and sub-agents do on to `headway hook openclaw`, and never waits for it.
import { spawn } from "node:child_process";

const HOOKS = [
  "session_start", "session_end", "before_tool_call", "after_tool_call", "subagent_spawned", "subagent_ended", "llm_output",
];
// What is worth passing on of an event; messages and prompts stay here.
const FIELDS = [
  "sessionId", "sessionKey", "resumedFrom", "reason", "toolName", "params", "error", "childSessionKey", "agentId", "label",
  "resolvedModel", "model", "targetSessionKey", "outcome", "summary", "endedAt", "durationMs", "messageCount",
];
const LISTING = new Set(["sessions_spawn", "sessions_list"]);
const MOST_SESSIONS = 1000;

// Tokens of each session so far: an event tells those of one call.
const totals = new Map();

function chosen(name, event) {
  const found = Object.fromEntries(FIELDS.filter((field) => event[field] !== undefined).map((field) => [field, event[field]]));
  if (name === "after_tool_call") {
    delete found.params;
    if (LISTING.has(event.toolName)) Object.assign(found, { params: event.params, result: event.result });
  }
  return found;
}

function counted(event, context) {
  const key = context.sessionKey ?? event.sessionId;
  const sums = totals.get(key) ?? { input: 0, output: 0 };
  sums.input += event.usage?.input ?? 0;
  sums.output += event.usage?.output ?? 0;
  if (totals.size >= MOST_SESSIONS && !totals.has(key)) totals.delete(totals.keys().next().value);
  totals.set(key, sums);
  return sums;
}

function send(command, payload) {
  try {
    const child = spawn(command, ["hook", "openclaw"], { stdio: ["pipe", "ignore", "ignore"] });
    child.on("error", () => {});
    child.stdin.on("error", () => {});
    child.stdin.end(JSON.stringify(payload));
    child.unref();
  } catch {
    // Nothing that goes wrong here is the agent's trouble.
  }
}

export default {
  id: "headway",
  name: "Headway",
  register(api) {
    const command = api.pluginConfig?.command ?? "headway";
    for (const name of HOOKS) {
      api.on(name, (event, context = {}) => {
        const told = chosen(name, event);
        if (name === "llm_output") told.totals = counted(event, context);
        const { sessionKey, sessionId, agentId, requesterSessionKey, childSessionKey } = context;
        send(command, { hook: name, event: told, context: { sessionKey, sessionId, agentId, requesterSessionKey, childSessionKey } });
      });
    }
  },
};
