// SPDX-License-Identifier: Apache-2.0
// A whole dashboard from its JSON, with Grafana's own panel components, against a Prometheus.
import { createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';

import { Panel } from './panel.jsx';
import { annotations, interpolate, resolve, timeRange } from './query.js';

const CELL = 30;
const GAP = 8;
const parameters = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: parameters.get('theme') ?? 'dark' } });
const range = timeRange(
  Number(parameters.get('minutes') ?? 5),
  Number(parameters.get('scrape') ?? 5),
  parameters.has('to') ? Number(parameters.get('to')) : undefined
);

// Closed rows hide their panels; `open` shows all.
function laidOut(dashboard, open) {
  const found = [];
  let shift = 0;
  for (const panel of dashboard.panels) {
    found.push({ ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + shift } });
    const inside = panel.type === 'row' && panel.collapsed && open ? panel.panels : [];
    for (const one of inside) {
      found.push({ ...one, gridPos: { ...one.gridPos, y: one.gridPos.y + shift } });
    }
    const end = Math.max(panel.gridPos.y + 1, ...inside.map(({ gridPos }) => gridPos.y + gridPos.h));
    shift += inside.length ? end - panel.gridPos.y - 1 : 0;
  }
  return compact(found);
}

// As Grafana does: everything moves up until it meets something.
function compact(panels) {
  const tops = Array(24).fill(0);
  return panels
    .sort((one, other) => one.gridPos.y - other.gridPos.y || one.gridPos.x - other.gridPos.x)
    .map((panel) => {
      const { x, w, h } = panel.gridPos;
      const y = Math.max(...tops.slice(x, x + w));
      tops.fill(y + h, x, x + w);
      return { ...panel, gridPos: { ...panel.gridPos, y } };
    });
}

function Row({ title, open }) {
  const style = { color: theme.colors.text.primary, fontSize: 16, fontWeight: 500, lineHeight: `${CELL}px` };
  return (
    <div data-row style={style}>
      {open ? '\u25be' : '\u25b8'} {title}
    </div>
  );
}

function Head({ dashboard, variables }) {
  const pill = {
    background: theme.colors.background.secondary,
    border: `1px solid ${theme.colors.border.weak}`,
    borderRadius: 4,
    padding: '3px 8px',
    marginRight: 8,
    whiteSpace: 'nowrap',
  };
  const shown = (dashboard.templating?.list ?? []).filter((one) => one.hide !== 2 && one.type !== 'datasource');
  const text = (one) => (one.includeAll && /^(\.[*+]|\(.*\))$/.test(variables[one.name]) ? 'All' : variables[one.name]);
  return (
    <div style={{ color: theme.colors.text.primary, padding: '4px 0 10px', fontSize: 12, overflow: 'hidden' }}>
      <span style={{ fontSize: 18, fontWeight: 500, marginRight: 16, whiteSpace: 'nowrap' }}>{dashboard.title}</span>
      {shown.map((one) => (
        <span key={one.name} style={pill}>
          <b>{one.label || one.name}</b> {text(one)}
        </span>
      ))}
      <span style={pill}>last {range.minutes} minutes</span>
    </div>
  );
}

function Dashboard({ dashboard }) {
  const [state, set] = React.useState(null);
  React.useEffect(() => {
    (async () => {
      const given = Object.fromEntries([...parameters].flatMap(([key, value]) => {
        return key.startsWith('var-') ? [[key.slice(4), value]] : [];
      }));
      const variables = await resolve(dashboard, range, given);
      set({ variables, notes: await annotations(dashboard, variables, range) });
    })().catch((error) => set({ error: String(error) }));
  }, [dashboard]);
  if (!state) {
    return null;
  }
  if (state.error) {
    return <pre data-panel-error>{state.error}</pre>;
  }
  const width = document.documentElement.clientWidth - 2 * GAP;
  const column = (width + GAP) / 24;
  const panels = laidOut(dashboard, parameters.has('open'));
  const rows = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return (
    <>
      <Head dashboard={dashboard} variables={state.variables} />
      <div data-panels={panels.filter((one) => one.type !== 'row').length} style={{ position: 'relative', height: rows * (CELL + GAP) }}>
        {panels.map((panel, index) => {
          const { x, y, w, h } = panel.gridPos;
          const size = { width: Math.round(w * column - GAP), height: h * (CELL + GAP) - GAP };
          return (
            <div key={index} style={{ position: 'absolute', left: x * column, top: y * (CELL + GAP), ...size }}>
              {panel.type === 'row' ? (
                <Row title={interpolate(panel.title, state.variables, range)} open={!panel.collapsed || parameters.has('open')} />
              ) : (
                <Panel panel={panel} {...state} {...size} range={range} theme={theme} />
              )}
            </div>
          );
        })}
      </div>
    </>
  );
}

function Page() {
  const [dashboard, set] = React.useState(null);
  React.useEffect(() => {
    fetch('/dashboard.json').then((answer) => answer.json()).then(set);
  }, []);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ background: theme.colors.background.canvas, padding: GAP, minHeight: '100vh' }}>
        {dashboard && <Dashboard dashboard={dashboard} />}
      </div>
      <PortalContainer />
    </ThemeContext.Provider>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
