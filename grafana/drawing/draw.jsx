// Draws a dashboard as Grafana's own components do: window.draw({board, answers, theme}). `answers`: id of a panel → refId → instant vector.
// The data goes the way that it goes in Grafana: frames, transformations, overrides, and then the panel of @grafana/ui. What the server's
// frontend adds to that (its menus, the row of variables, the editing of panels) is not there.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import '@fontsource/inter/600.css';
import * as data from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, ThemeContext, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { lastValueFrom, map } from 'rxjs';
import make from '../../tests/transforming/frames.cjs';

const frames = make(data, map);
data.standardTransformersRegistry.setInit(frames.transformers);
data.standardEditorsRegistry.setInit(() => []);

// Which properties an override may set, and where; Grafana's frontend registers the same for each type of panel.
const STANDARD = ['color', 'decimals', 'displayName', 'links', 'mappings', 'max', 'min', 'noValue', 'thresholds', 'unit'];
const CUSTOM = ['align', 'cellOptions', 'hidden', 'hideFrom', 'inspect', 'minWidth', 'width'];
const properties = new data.Registry(() => [
  ...STANDARD.map((id) => ({ id, path: id, name: id })),
  ...CUSTOM.map((id) => ({ id: `custom.${id}`, path: id, name: id, isCustom: true })),
].map((one) => ({ ...one, process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null })));

const interpolated = (text) => text;

async function dataOf(panel, answers, theme) {
  const asked = panel.targets.filter((target) => answers[target.refId]?.length);
  const found = asked.flatMap(({ refId, format, legendFormat }) => (
    format === 'table' ? [frames.table(refId, answers[refId], panel.targets.length === 1)] : frames.series(refId, answers[refId], legendFormat)
  ));
  const made = await lastValueFrom(data.transformDataFrame(panel.transformations ?? [], found, { interpolate: interpolated }));
  const fields = data.applyFieldOverrides({
    data: made,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry: properties,
    replaceVariables: interpolated,
    theme,
    timeZone: 'browser',
  });
  data.cacheFieldDisplayNames(fields);
  return fields;
}

function Stat({ panel, series, theme, width, height }) {
  const { options, fieldConfig } = panel;
  const values = data.getFieldDisplayValues({
    data: series, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: interpolated, theme, timeZone: 'browser',
  });
  return (
    <VizRepeater
      getValues={() => values}
      getAlignmentFactors={(shown) => data.getDisplayValueAlignmentFactors(shown)}
      renderValue={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          value={value.display} width={width} height={height} theme={theme} text={options.text} count={count} colorMode={options.colorMode}
          graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={options.textMode} disableWideLayout={!options.wideLayout}
          alignmentFactors={alignmentFactors} hasLinks
        />
      )}
      source={series} width={width} height={height} itemSpacing={3} renderCounter={1} autoGrid
      orientation={options.orientation}
    />
  );
}

function Body({ panel, series, theme, width, height }) {
  const empty = !series.some((frame) => frame.length);
  if (empty) {
    return <div style={{ alignItems: 'center', color: theme.colors.text.secondary, display: 'flex', height, justifyContent: 'center' }}>{panel.fieldConfig.defaults.noValue}</div>;
  }
  if (panel.type === 'stat') return <Stat {...{ panel, series, theme, width, height }} />;
  return (
    <TableNG
      data={series[0]} width={width} height={height} cellHeight={panel.options.cellHeight} noHeader={panel.options.showHeader === false}
      structureRev={1} enableVirtualization={false}
    />
  );
}

window.draw = async ({ board, answers, theme: mode, width }) => {
  const theme = data.createTheme({ colors: { mode } });
  const [gap, cell, row] = [8, (width + 8) / 24, 30];
  const shown = board.panels.filter((panel) => answers[panel.id]);
  const series = Object.fromEntries(await Promise.all(shown.map(async (panel) => [panel.id, await dataOf(panel, answers[panel.id], theme)])));
  document.body.style.margin = '0';
  const height = Math.max(...shown.map(({ gridPos: { y, h } }) => y + h)) * (row + gap);
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ background: theme.colors.background.canvas, height, padding: 16, position: 'relative' }}>
        {shown.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const size = { width: w * cell - gap, height: h * (row + gap) - gap };
          return (
            <div key={panel.id} style={{ position: 'absolute', left: 16 + x * cell, top: 16 + y * (row + gap), ...size }}>
              <PanelChrome title={panel.title} {...size}>
                {(innerWidth, innerHeight) => <Body panel={panel} series={series[panel.id]} theme={theme} width={innerWidth} height={innerHeight} />}
              </PanelChrome>
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>,
  );
};
