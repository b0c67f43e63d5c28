// What Grafana does between an answer and @grafana/data, written anew as far as the dashboards use it: the frames of its data sources,
// and two transformations that it keeps to itself. `data` is @grafana/data, `map` that of rxjs.
module.exports = function frames(data, map) {
  const { FieldType, getFieldDisplayName, toDataFrame } = data;

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

  // A table for each query, whose number is called "Value #ref" where there are several. `vector`: of an instant query.
  function table(refId, vector, alone) {
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

  // A frame for each series, called as `legend` says, in which {{label}} is a label.
  function series(refId, vector, legend) {
    return vector.map((row) => toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: [row.value[0] * 1000] },
        {
          name: 'Value',
          type: FieldType.number,
          labels: row.metric,
          config: { displayNameFromDS: legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => row.metric[label] ?? '') },
          values: [Number(row.value[1])],
        },
      ],
    }));
  }

  function lines(refId, found) {
    return toDataFrame({
      refId,
      meta: { preferredVisualisationType: 'logs' },
      fields: [
        { name: 'labels', type: FieldType.other, values: found.map((one) => one.labels) },
        { name: 'Time', type: FieldType.time, values: found.map((one) => one.ts) },
        { name: 'Line', type: FieldType.string, values: found.map((one) => one.line) },
        { name: 'tsNs', type: FieldType.string, values: found.map((one) => `${one.ts}000000`) },
        { name: 'id', type: FieldType.string, values: found.map((one, number) => `${one.ts}_${number}`) },
      ],
    });
  }

  // Grafana's registry of transformations takes a function that lists them.
  function transformers() {
    const every = [...Object.values(data.standardTransformers), extractFields, convertFieldType];
    return [...new Map(every.map((one) => [one.id, one])).values()].map((one) => ({ id: one.id, name: one.name, transformation: one, editor: () => null }));
  }

  return { lines, series, table, transformers };
};
