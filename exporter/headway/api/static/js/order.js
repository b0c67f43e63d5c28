// The order of the active view, as headway.api.web.row has it: by importance, children under their parents, repeats in one row.

/** Rows → [id, depth] from top to bottom. */
export function nested(rows) {
  const below = new Map([[null, []]]);
  for (const row of rows.values()) {
    const parent = row.parent !== null && row.parent !== row.id && rows.has(row.parent) ? row.parent : null;
    if (!below.has(parent)) below.set(parent, []);
    below.get(parent).push(row);
  }
  const best = new Map();
  const walked = [];
  const stack = [...below.get(null)];
  while (stack.length) {
    const row = stack.pop();
    walked.push(row);
    stack.push(...(below.get(row.id) ?? []));
  }
  if (walked.length < rows.size) {
    const known = new Set(walked.map((row) => row.id));
    for (const row of rows.values()) {
      if (known.has(row.id)) continue; // who is their own ancestor, by what a reporter said
      below.delete(row.id);
      below.get(null).push(row);
      walked.push(row);
    }
  }
  for (const row of walked.reverse()) {
    best.set(row.id, Math.min(row.rank, ...(below.get(row.id) ?? []).map((child) => best.get(child.id) ?? child.rank)));
  }
  const sorted = (list) =>
    list.sort((a, b) => best.get(a.id) - best.get(b.id) || b.created - a.created || (a.id < b.id ? -1 : 1)).reverse();
  const order = [];
  const todo = sorted(below.get(null)).map((row) => [row, 0]);
  while (todo.length) {
    const [row, depth] = todo.pop();
    order.push([row.id, Math.min(depth, 3)]);
    for (const child of sorted(below.get(row.id) ?? [])) todo.push([child, depth + 1]);
  }
  return order;
}

/** What `nested` says, with one row for all that ended alike, as headway.api.web.row.folded has it → [id, depth, the ids it stands for]. */
export function folded(rows) {
  const order = nested(rows);
  const parents = new Set(order.map(([id]) => rows.get(id).parent));
  const first = new Map();
  const lines = [];
  for (const [id, depth] of order) {
    const row = rows.get(id);
    if (row.ended !== null && !parents.has(id)) {
      const beside = rows.has(row.parent) ? row.parent : null;
      const key = JSON.stringify([beside, row.rank, row.status, row.name, row.about, row.error]);
      if (first.has(key)) {
        first.get(key)[2].push(id);
        continue;
      }
      const line = [id, depth, [id]];
      first.set(key, line);
      lines.push(line);
    } else lines.push([id, depth, [id]]);
  }
  return lines;
}
