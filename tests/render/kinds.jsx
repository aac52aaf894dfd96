// SPDX-License-Identifier: Apache-2.0
// The kinds of panels for which Grafana's own components are on npm.
import { FieldType, getFieldDisplayValues, ReducerID, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, Table, TimeSeries } from '@grafana/ui';
import React from 'react';

const DEFAULT_LEGEND = { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] };

// Exemplars and annotations, which the application draws and npm does not have.
function Marks({ builder, exemplars, notes, theme }) {
  React.useLayoutEffect(() => {
    builder.addHook('draw', (plot) => {
      const { ctx, bbox } = plot;
      const scale = plot.series[1]?.scale;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.setLineDash([4, 4]);
      for (const { time, color } of notes) {
        const x = plot.valToPos(time, 'x', true);
        ctx.strokeStyle = theme.visualization.getColorByName(color);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.setLineDash([]);
      ctx.fillStyle = theme.visualization.getColorByName('light-blue');
      for (const [time, value] of scale ? exemplars : []) {
        const x = plot.valToPos(time, 'x', true);
        const y = plot.valToPos(value, scale, true);
        ctx.beginPath();
        ctx.moveTo(x, y - 4);
        ctx.lineTo(x + 4, y);
        ctx.lineTo(x, y + 4);
        ctx.lineTo(x - 4, y);
        ctx.fill();
      }
      ctx.restore();
    });
  }, [builder]);
  return null;
}

export function Lines({ panel, frames, exemplars, notes, range, width, height, theme }) {
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      width={width}
      height={height}
      timeRange={range}
      timeZone="utc"
      legend={{ ...DEFAULT_LEGEND, ...panel.options?.legend }}
      options={{}}
    >
      {(builder) => <Marks builder={builder} exemplars={exemplars} notes={notes} theme={theme} />}
    </TimeSeries>
  );
}

function values({ panel, frames, fieldConfig, replaceVariables, theme }, sparkline) {
  const reduceOptions = { calcs: [ReducerID.lastNotNull], ...panel.options?.reduceOptions };
  return getFieldDisplayValues({ data: frames, reduceOptions, fieldConfig, theme, replaceVariables, sparkline, timeZone: 'utc' });
}

// As many columns or rows as fill the panel best.
function grid(count, width, height, orientation) {
  if (orientation === 'vertical' || (orientation !== 'horizontal' && width >= height)) {
    return { columns: count, w: (width - 4 * (count - 1)) / count, h: height };
  }
  return { columns: 1, w: width, h: (height - 4 * (count - 1)) / count };
}

export function Numbers(props) {
  const { panel, width, height, theme } = props;
  const options = panel.options ?? {};
  const found = values(props, (options.graphMode ?? 'area') !== 'none');
  const { columns, w, h } = grid(found.length, width, height, options.orientation);
  const several = found.length > 1;
  return (
    <div style={{ display: 'grid', gridTemplateColumns: `repeat(${columns}, ${w}px)`, gap: 4 }}>
      {found.map(({ display, sparkline }, index) => (
        <BigValue
          key={index}
          value={several ? display : { ...display, title: options.textMode === 'value_and_name' ? display.title : '' }}
          sparkline={sparkline}
          width={w}
          height={h}
          theme={theme}
          colorMode={options.colorMode ?? 'value'}
          graphMode={options.graphMode ?? 'area'}
          justifyMode={options.justifyMode ?? 'auto'}
          textMode={options.textMode ?? 'auto'}
          text={options.text}
          count={found.length}
        />
      ))}
    </div>
  );
}

export function Bars(props) {
  const { panel, width, height, theme } = props;
  const options = panel.options ?? {};
  const found = values(props, false);
  const upright = options.orientation === 'vertical' || (options.orientation !== 'horizontal' && width > 2 * height);
  const { columns, w, h } = grid(found.length, width, height, upright ? 'vertical' : 'horizontal');
  const alignmentFactors = found.reduce(
    (most, { display }) => ({
      title: display.title.length > most.title.length ? display.title : most.title,
      text: display.text.length > most.text.length ? display.text : most.text,
      prefix: display.prefix ?? most.prefix,
      suffix: display.suffix ?? most.suffix,
    }),
    { title: '', text: '' }
  );
  return (
    <div data-fallback={panel.type === 'gauge' || undefined} style={{ display: 'grid', gridTemplateColumns: `repeat(${columns}, ${w}px)`, gap: 4 }}>
      {found.map(({ display, field, view, colIndex }, index) => (
        <BarGauge
          key={index}
          value={display}
          width={w}
          height={h}
          orientation={upright ? VizOrientation.Vertical : VizOrientation.Horizontal}
          field={field}
          display={view?.getFieldDisplayProcessor(colIndex)}
          theme={theme}
          displayMode={options.displayMode ?? 'gradient'}
          showUnfilled={options.showUnfilled ?? true}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
          alignmentFactors={alignmentFactors}
          itemSpacing={4}
          lcdCellWidth={12}
        />
      ))}
    </div>
  );
}

export function Cells({ panel, frames, width, height }) {
  // Grafana shows the first frame, and a list to choose others from.
  const frame = frames.find((one) => one.length) ?? frames[0];
  const fields = frame.fields.filter((field) => !field.config?.custom?.hidden);
  const shown = { ...frame, fields: fields.map((field) => ({ ...field, type: field.type ?? FieldType.other })) };
  return (
    <Table
      data={shown}
      width={width}
      height={height}
      columnMinWidth={60}
      initialSortBy={panel.options?.sortBy ?? []}
      noHeader={panel.options?.showHeader === false}
      enableSharedCrosshair={false}
      cellHeight={panel.options?.cellHeight ?? 'sm'}
    />
  );
}
