// SPDX-License-Identifier: Apache-2.0
// What the Grafana application sets up before a panel is drawn: how field options and transformations are applied.
import {
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';

const entry = (id, process, path = id) => ({
  id,
  path,
  name: id,
  editor: () => null,
  override: () => null,
  process,
  shouldApply: () => true,
  settings: {},
});

// Paths below `custom` that overrides may name.
const CUSTOM = [
  'align', 'axisCenteredZero', 'axisColorMode', 'axisGridShow', 'axisLabel', 'axisPlacement', 'axisSoftMax',
  'axisSoftMin', 'axisWidth', 'barAlignment', 'cellOptions', 'drawStyle', 'fillBelowTo', 'fillOpacity', 'filterable',
  'gradientMode', 'hidden', 'hideFrom', 'hideFrom.viz', 'insertNulls', 'inspect', 'lineColor', 'lineInterpolation',
  'lineStyle', 'lineWidth', 'minWidth', 'pointSize', 'scaleDistribution', 'showPoints', 'spanNulls', 'stacking',
  'thresholdsStyle', 'transform', 'width',
];

standardEditorsRegistry.setInit(() => []);
standardFieldConfigEditorRegistry.setInit(() => [
  entry('unit', unitOverrideProcessor),
  entry('min', numberOverrideProcessor),
  entry('max', numberOverrideProcessor),
  entry('decimals', numberOverrideProcessor),
  entry('displayName', displayNameOverrideProcessor),
  entry('description', stringOverrideProcessor),
  entry('color', identityOverrideProcessor),
  entry('noValue', stringOverrideProcessor),
  entry('links', dataLinksOverrideProcessor),
  entry('mappings', valueMappingsOverrideProcessor),
  entry('thresholds', thresholdsOverrideProcessor),
  ...CUSTOM.map((name) => ({ ...entry(`custom.${name}`, identityOverrideProcessor, name), isCustom: true })),
]);

standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((one) => ({
    id: one.id,
    name: one.name,
    transformation: () => Promise.resolve(one),
  }))
);

export const registry = standardFieldConfigEditorRegistry;

// What each panel plugin adds where the dashboard says nothing.
export const DEFAULTS = {
  timeseries: {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    lineWidth: 1,
    fillOpacity: 0,
    gradientMode: 'none',
    showPoints: 'auto',
    pointSize: 5,
    spanNulls: false,
    axisPlacement: 'auto',
    barAlignment: 0,
    scaleDistribution: { type: 'linear' },
    stacking: { mode: 'none', group: 'A' },
    thresholdsStyle: { mode: 'off' },
    hideFrom: { tooltip: false, viz: false, legend: false },
  },
  table: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false },
};

export const COMMON = {
  mappings: [],
  thresholds: { mode: 'absolute', steps: [{ color: 'green', value: -Infinity }, { color: 'red', value: 80 }] },
};
