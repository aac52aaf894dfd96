// SPDX-License-Identifier: Apache-2.0
// What Grafana's packages on npm cannot draw, drawn plainly and said to be so.
import { FieldType, getFieldDisplayName } from '@grafana/data';
import React from 'react';

const LEFT = 120;
const FOOT = 18;

function Note({ text, width, theme }) {
  const style = { position: 'absolute', right: 4, bottom: 0, fontSize: 9, color: theme.colors.text.disabled };
  return (
    <span data-fallback style={style}>
      {width < 500 ? 'drawn plainly' : `${text}, drawn plainly: not Grafana's own`}
    </span>
  );
}

const clock = (time) => new Date(time).toISOString().slice(11, 19);

// The right end is for the note.
function Axis({ range, left, width, y, theme }) {
  const from = range.from.valueOf();
  const whole = range.to.valueOf() - from;
  return [0, 0.25, 0.5].map((share) => (
    <text key={share} x={left + share * width} y={y} fontSize={11} fill={theme.colors.text.secondary}>
      {clock(from + share * whole)}
    </text>
  ));
}

// Runs of equal values, as coloured lanes.
function runs(time, field) {
  const found = [];
  time.values.forEach((at, index) => {
    const value = field.values[index];
    const last = found[found.length - 1];
    if (last && last.value === value) {
      last.end = at;
    } else {
      if (last) {
        last.end = at;
      }
      found.push({ value, begin: at, end: at });
    }
  });
  return found.filter((one) => one.value !== null && one.value !== undefined);
}

export function Lanes({ panel, frames, range, width, height, theme }) {
  const lanes = frames.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    return frame.fields
      .filter((field) => field !== time && time)
      .map((field) => ({ name: getFieldDisplayName(field, frame, frames), time, field }));
  });
  const legendHeight = 20;
  const each = Math.min(32, (height - FOOT - legendHeight) / lanes.length);
  const from = range.from.valueOf();
  const left = Math.min(LEFT, 12 + 6.5 * Math.max(...lanes.map(({ name }) => name.length)));
  const x = (at) => left + ((at - from) / (range.to.valueOf() - from)) * (width - left);
  const legend = new Map();
  const parts = lanes.map(({ name, time, field }, lane) => {
    const y = lane * each;
    return (
      <g key={lane}>
        <text x={0} y={y + each / 2 + 4} fontSize={11} fill={theme.colors.text.primary}>
          {name.slice(0, 19)}
        </text>
        {runs(time, field).map((one, index) => {
          const shown = field.display(one.value);
          legend.set(shown.text, shown.color);
          const w = Math.max(1.5, x(one.end) - x(one.begin));
          return (
            <g key={index}>
              <rect x={x(one.begin)} y={y + 1} width={w} height={Math.max(1, each - 2)} fill={shown.color} opacity={0.85} />
              {w > 7 * shown.text.length && each > 13 ? (
                <text x={x(one.begin) + 4} y={y + each / 2 + 4} fontSize={10} fill={theme.colors.getContrastText(shown.color)}>
                  {shown.text}
                </text>
              ) : null}
            </g>
          );
        })}
      </g>
    );
  });
  return (
    <div style={{ position: 'relative', width, height }}>
      <svg width={width} height={height}>
        {parts}
        <Axis range={range} left={left} width={width - left} y={lanes.length * each + 12} theme={theme} />
      </svg>
      <div style={{ position: 'absolute', bottom: 0, left: 0, fontSize: 11, color: theme.colors.text.primary }}>
        {[...legend].slice(0, 8).map(([text, color]) => (
          <span key={text} style={{ marginRight: 12 }}>
            <span style={{ display: 'inline-block', width: 12, height: 4, background: color, marginRight: 4 }} />
            {text}
          </span>
        ))}
      </div>
      <Note text={panel.type} width={width} theme={theme} />
    </div>
  );
}

// Buckets are cumulative: what is in one is what is beyond the one before.
function cells(frames) {
  const sorted = frames
    .map((frame) => {
      const value = frame.fields.find((field) => field.type === FieldType.number);
      const time = frame.fields.find((field) => field.type === FieldType.time);
      const le = value.labels?.le ?? value.config.displayNameFromDS;
      return { le: le === '+Inf' ? Infinity : Number(le), time: time.values, values: value.values, field: value };
    })
    .sort((one, other) => one.le - other.le);
  return sorted.map((bucket, row) => {
    const below = row ? new Map(sorted[row - 1].time.map((at, place) => [at, sorted[row - 1].values[place]])) : new Map();
    return {
      ...bucket,
      from: row ? sorted[row - 1].le : 0,
      counts: bucket.values.map((value, place) => Math.max(0, value - (below.get(bucket.time[place]) ?? 0))),
    };
  });
}

export function Heat({ panel, frames, range, width, height, theme }) {
  const all = cells(frames);
  const filled = all.map((row, place) => (row.counts.some((count) => count > 0) ? place : -1)).filter((one) => one >= 0);
  const rows = filled.length ? all.slice(filled[0], filled[filled.length - 1] + 1) : all;
  const most = Math.max(1e-12, ...rows.flatMap(({ counts }) => counts));
  const left = 60;
  const each = (height - FOOT) / rows.length;
  const from = range.from.valueOf();
  const x = (at) => left + ((at - from) / (range.to.valueOf() - from)) * (width - left);
  const step = rows[0].time.length > 1 ? rows[0].time[1] - rows[0].time[0] : 1000;
  const unit = (value) => {
    if (!Number.isFinite(value)) {
      return '+Inf';
    }
    const shown = rows[0].field.display(value);
    return `${shown.text}${shown.suffix ?? ''}`;
  };
  return (
    <div style={{ position: 'relative', width, height }}>
      <svg width={width} height={height}>
        {rows.map(({ le, time, counts }, row) => {
          const y = height - FOOT - (row + 1) * each;
          return (
            <g key={row}>
              <text x={left - 4} y={Math.max(9, y + 4)} textAnchor="end" fontSize={10} fill={theme.colors.text.secondary}>
                {each > 11 || row % 2 === 0 ? unit(le) : ''}
              </text>
              {time.map((at, place) =>
                counts[place] > 0 ? (
                  <rect
                    key={place}
                    x={Math.max(left, x(at - step))}
                    y={y}
                    width={Math.max(1, x(at) - Math.max(left, x(at - step)) + 0.5)}
                    height={Math.max(1, each - 1)}
                    fill={`hsl(${24 + 22 * Math.sqrt(counts[place] / most)}, 95%, ${15 + 55 * Math.sqrt(counts[place] / most)}%)`}
                  />
                ) : null
              )}
            </g>
          );
        })}
        <Axis range={range} left={left} width={width - left} y={height - 5} theme={theme} />
      </svg>
      <Note text={panel.type} width={width} theme={theme} />
    </div>
  );
}

export function Words({ panel, replaceVariables, theme }) {
  const style = { whiteSpace: 'pre-wrap', color: theme.colors.text.primary, fontSize: 13 };
  return <div style={style}>{replaceVariables(panel.options?.content ?? '').replace(/[*#]/g, '')}</div>;
}
