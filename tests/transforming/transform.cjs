// Reads {transformations, targets, answers} from standard input and writes the table that Grafana makes of them: {fields, rows}.
// `answers`: refId → instant vector of Prometheus, or for Loki {"lines": [{ts, line, labels}]}.
const { JSDOM } = require('jsdom');

const dom = new JSDOM('<!doctype html><head></head><body></body>', { url: 'http://localhost/' });
for (const key of ['document', 'navigator', 'HTMLElement', 'Element', 'Node', 'localStorage', 'sessionStorage', 'location', 'DOMParser', 'Event']) {
  try { global[key] = dom.window[key]; } catch { /* this Node has one of its own */ }
}
global.window = global.self = dom.window;
dom.window.matchMedia = () => ({ matches: false, addListener() {}, addEventListener() {} });
dom.window.grafanaBootData = { settings: {}, user: {} };

const data = require('@grafana/data');
const { lastValueFrom, map } = require('rxjs');
const { lines, table, transformers } = require('./frames.cjs')(data, map);

const { getFieldDisplayName, standardTransformersRegistry, transformDataFrame } = data;
standardTransformersRegistry.setInit(transformers);

async function main() {
  const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const refs = Object.keys(asked.answers);
  const frames = refs
    .map((ref) => (asked.answers[ref].lines ? lines(ref, asked.answers[ref].lines) : table(ref, asked.answers[ref], refs.length === 1)))
    .filter((frame) => frame.length > 0);
  const made = await lastValueFrom(transformDataFrame(asked.transformations, frames, { interpolate: (text) => text }));
  const tables = made.map((frame) => ({
    fields: frame.fields.map((field) => getFieldDisplayName(field, frame)),
    rows: Array.from({ length: frame.length }, (_, row) => frame.fields.map((field) => field.values[row] ?? null)),
  }));
  process.stdout.write(JSON.stringify(tables));
}

main().catch((error) => { console.error(error); process.exit(1); });
