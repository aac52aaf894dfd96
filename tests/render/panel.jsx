// SPDX-License-Identifier: Apache-2.0
// One panel: its data, transformed and with its field options applied, in Grafana's frame.
import { applyFieldOverrides, transformDataFrame } from '@grafana/data';
import { PanelChrome } from '@grafana/ui';
import React from 'react';
import { lastValueFrom } from 'rxjs';

import { Heat, Lanes, Words } from './fallback.jsx';
import { Bars, Cells, Lines, Numbers } from './kinds.jsx';
import { COMMON, DEFAULTS, registry } from './grafana.js';
import { exemplars, interpolate, run } from './query.js';

const KINDS = {
  timeseries: Lines,
  stat: Numbers,
  gauge: Bars,
  bargauge: Bars,
  table: Cells,
  heatmap: Heat,
  'state-timeline': Lanes,
  'status-history': Lanes,
  text: Words,
};

class Boundary extends React.Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    const { error } = this.state;
    return error ? <pre data-panel-error>{`${this.props.title}: ${error.stack}`}</pre> : this.props.children;
  }
}

async function load({ panel, variables, range, width, theme }) {
  const raw = panel.targets ? await run(panel, variables, range, width) : [];
  const replaceVariables = (text) => interpolate(text, variables, range, width);
  const context = { interpolate: replaceVariables };
  const transformations = (panel.transformations ?? []).filter((one) => !one.disabled);
  const data = transformations.length ? await lastValueFrom(transformDataFrame(transformations, raw, context)) : raw;
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const custom = { ...DEFAULTS[panel.type], ...defaults.custom };
  const color = { mode: panel.type === 'timeseries' ? 'palette-classic' : 'thresholds' };
  const fieldConfig = { defaults: { ...COMMON, color, ...defaults, custom }, overrides };
  const frames = applyFieldOverrides({
    data,
    fieldConfig,
    replaceVariables,
    theme,
    timeZone: 'utc',
    fieldConfigRegistry: registry,
  });
  const points = panel.targets ? await exemplars(panel, variables, range, width) : [];
  return { frames, fieldConfig, replaceVariables, exemplars: points };
}

export function Panel(props) {
  const { panel, variables, range, width, height } = props;
  const [state, set] = React.useState(null);
  React.useEffect(() => {
    load(props).then(set, (error) => set({ error: String(error) }));
  }, []);
  if (!state) {
    return null;
  }
  if (state.error) {
    return <pre data-panel-error>{`${panel.title}: ${state.error}`}</pre>;
  }
  const Kind = KINDS[panel.type];
  const empty = panel.type !== 'text' && !state.frames.some((frame) => frame.length);
  const words = { padding: 8, textAlign: 'center', opacity: 0.7 };
  const display = panel.transparent ? 'transparent' : 'default';
  return (
    <div data-panel={panel.type} data-title={panel.title} data-empty={empty || undefined}>
      <PanelChrome
        width={width}
        height={height}
        title={interpolate(panel.title, variables, range)}
        description={panel.description}
        displayMode={display}
        padding={panel.type === 'table' ? 'none' : 'md'}
      >
        {(innerWidth, innerHeight) => (
          <Boundary title={panel.title}>
            {!Kind ? (
              <div data-unsupported style={words}>{`${panel.type}: not drawn here`}</div>
            ) : empty ? (
              <div style={words}>{panel.fieldConfig?.defaults?.noValue || 'No data'}</div>
            ) : (
              <Kind {...props} {...state} width={innerWidth} height={innerHeight} />
            )}
          </Boundary>
        )}
      </PanelChrome>
    </div>
  );
}
