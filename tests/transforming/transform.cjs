// Reads {transformations, targets, answers} from standard input and writes the table that Grafana makes of them: {fields, rows}.
// `answers`: refId → instant vector of Prometheus, or for Loki {"lines": [{ts, line, labels}]}. The frames are those of Grafana's
// data sources: a table for each query, whose number is called "Value #ref" where there are several.
const { JSDOM } = require('jsdom');

const dom = new JSDOM('<!doctype html><head></head><body></body>', { url: 'http://localhost/' });
for (const key of ['document', 'navigator', 'HTMLElement', 'Element', 'Node', 'localStorage', 'sessionStorage', 'location', 'DOMParser', 'Event']) {
  try { global[key] = dom.window[key]; } catch { /* this Node has one of its own */ }
}
global.window = global.self = dom.window;
dom.window.matchMedia = () => ({ matches: false, addListener() {}, addEventListener() {} });
dom.window.grafanaBootData = { settings: {}, user: {} };

const { FieldType, getFieldDisplayName, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame } = require('@grafana/data');
const { lastValueFrom, map } = require('rxjs');

// Two that are not in the package but in Grafana itself, as far as the dashboards use them.
const extractFields = {
  id: 'extractFields',
  name: 'Extract fields',
  operator: (options) => map((frames) => frames.map((frame) => {
    const source = frame.fields.find((field) => field.name === options.source);
    if (!source) return frame;
    const names = [...new Set(source.values.flatMap((labels) => Object.keys(labels)))];
    const added = names.map((name) => ({ name, type: FieldType.string, config: {}, values: source.values.map((labels) => labels[name]) }));
    return { ...frame, fields: [...frame.fields, ...added] };
  })),
};
const convertFieldType = {
  id: 'convertFieldType',
  name: 'Convert field type',
  operator: (options) => map((frames) => frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => {
      const how = options.conversions.find((one) => one.targetField === getFieldDisplayName(field, frame));
      if (!how) return field;
      return { ...field, type: FieldType.string, values: field.values.map((value) => (Array.isArray(value) ? value.join(how.joinWith) : `${value}`)) };
    }),
  }))),
};

standardTransformersRegistry.setInit(() =>
  [...new Map([...Object.values(standardTransformers), extractFields, convertFieldType].map((one) => [one.id, one])).values()].map((one) => ({ id: one.id, name: one.name, transformation: one, editor: () => null }))
);

function prometheus(refId, vector, alone) {
  const labels = [...new Set(vector.flatMap((row) => Object.keys(row.metric)))].sort();
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: vector.map((row) => row.value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, values: vector.map((row) => row.metric[label] ?? '') })),
      { name: alone ? 'Value' : `Value #${refId}`, type: FieldType.number, values: vector.map((row) => Number(row.value[1])) },
    ],
  });
}

function loki(refId, lines) {
  return toDataFrame({
    refId,
    meta: { preferredVisualisationType: 'logs' },
    fields: [
      { name: 'labels', type: FieldType.other, values: lines.map((one) => one.labels) },
      { name: 'Time', type: FieldType.time, values: lines.map((one) => one.ts) },
      { name: 'Line', type: FieldType.string, values: lines.map((one) => one.line) },
      { name: 'tsNs', type: FieldType.string, values: lines.map((one) => `${one.ts}000000`) },
      { name: 'id', type: FieldType.string, values: lines.map((one, number) => `${one.ts}_${number}`) },
    ],
  });
}

async function main() {
  const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const refs = Object.keys(asked.answers);
  const frames = refs
    .map((ref) => (asked.answers[ref].lines ? loki(ref, asked.answers[ref].lines) : prometheus(ref, asked.answers[ref], refs.length === 1)))
    .filter((frame) => frame.length > 0);
  const made = await lastValueFrom(transformDataFrame(asked.transformations, frames, { interpolate: (text) => text }));
  const tables = made.map((frame) => ({
    fields: frame.fields.map((field) => getFieldDisplayName(field, frame)),
    rows: Array.from({ length: frame.length }, (_, row) => frame.fields.map((field) => field.values[row] ?? null)),
  }));
  process.stdout.write(JSON.stringify(tables));
}

main().catch((error) => { console.error(error); process.exit(1); });
