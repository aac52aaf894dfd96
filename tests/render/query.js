// SPDX-License-Identifier: Apache-2.0
// A dashboard's variables, queries, exemplars and annotations, asked of a Prometheus; what Grafana's server does.
import { dateTime, FieldType, toDataFrame } from '@grafana/data';

const THINNED = 60;

async function ask(path, parameters) {
  const response = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = await response.json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data;
}

export function timeRange(minutes, scrape, to = Date.now()) {
  const from = to - minutes * 60_000;
  const raw = { from: `now-${minutes}m`, to: 'now' };
  return { from: dateTime(from), to: dateTime(to), raw, scrape, minutes };
}

const escape = (value) => value.replace(/[\\^$.*+?()[\]{}|]/g, '\\\\$&');

export function interpolate(text, variables, range, width = 800) {
  const seconds = range.minutes * 60;
  const interval = Math.max(range.scrape, Math.ceil(seconds / width));
  // Grafana's: a step and a scrape, and four scrapes at least.
  const rate = Math.max(interval + range.scrape, 4 * range.scrape);
  const known = {
    __interval: `${interval}s`,
    __rate_interval: `${rate}s`,
    __rate_interval_ms: `${rate * 1000}`,
    __range: `${seconds}s`,
    __range_s: `${seconds}`,
  };
  return String(text ?? '').replace(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    return known[name] ?? variables[name] ?? whole;
  });
}

async function options(variable, variables, range) {
  if (variable.type !== 'query') {
    return (variable.query ?? '')
      .toString()
      .split(',')
      .map((one) => one.trim().split(' : ').pop());
  }
  const written = typeof variable.query === 'string' ? variable.query : variable.query?.query ?? '';
  const query = interpolate(written, variables, range);
  const found = /^label_values\((?:(.*),)?\s*([\w.]+)\s*\)$/s.exec(query);
  if (!found) {
    throw new Error(`variable ${variable.name}: ${written} is not understood`);
  }
  const match = found[1] ? { 'match[]': found[1].trim() } : {};
  let values = await ask(`label/${found[2]}/values`, match);
  if (variable.regex) {
    const pattern = new RegExp(variable.regex.replace(/^\/|\/$/g, ''));
    values = values.map((one) => pattern.exec(one)).filter(Boolean).map((one) => one[1] ?? one[0]);
  }
  return values;
}

// Every variable as it is when the dashboard is opened: what is current, else all, else the first there is.
export async function resolve(dashboard, range, given = {}) {
  const variables = {};
  for (const variable of dashboard.templating?.list ?? []) {
    const current = variable.current?.value;
    if (variable.name in given) {
      variables[variable.name] = given[variable.name];
    } else if (variable.type === 'datasource') {
      variables[variable.name] = 'prometheus';
    } else if (variable.includeAll && (!current || String(current) === '$__all' || !current.length)) {
      variables[variable.name] =
        variable.allValue || `(${(await options(variable, variables, range)).map(escape).join('|')})`;
    } else if (current !== undefined && current !== '' && current !== null) {
      variables[variable.name] = String(current);
    } else {
      variables[variable.name] = (await options(variable, variables, range))[0] ?? '';
    }
  }
  return variables;
}

const legend = (format, labels) =>
  format && format !== '__auto' ? format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '') : undefined;

function plain(labels) {
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([key, value]) => `${key}="${value}"`);
  return pairs.length ? `${name}{${pairs.join(', ')}}` : name || 'Value';
}

// No number is no point.
const number = (text) => (text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : text === 'NaN' ? null : Number(text));

function series(target, found) {
  return found.map(({ metric, values, value }) => {
    const points = values ?? [value];
    const { __name__, ...labels } = metric;
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, config: {}, values: points.map(([time]) => time * 1000) },
        {
          name: 'Value',
          type: FieldType.number,
          labels,
          config: { displayNameFromDS: legend(target.legendFormat, metric) ?? plain(metric) },
          values: points.map(([, text]) => number(text)),
        },
      ],
    });
  });
}

function table(target, found, several) {
  const names = [...new Set(found.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: found.map(({ value }) => value[0] * 1000) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        config: {},
        values: found.map(({ metric }) => metric[name]),
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value',
        type: FieldType.number,
        config: {},
        values: found.map(({ value }) => number(value[1])),
      },
    ],
  });
}

// A gap longer than this many steps is a gap; Prometheus leaves out what is not there.
function gaps(frame, step) {
  const [time, value] = frame.fields;
  const times = [];
  const values = [];
  time.values.forEach((at, index) => {
    if (index && at - time.values[index - 1] > 1.5 * step * 1000) {
      times.push(time.values[index - 1] + step * 1000);
      values.push(null);
    }
    times.push(at);
    values.push(value.values[index]);
  });
  return { ...frame, length: times.length, fields: [{ ...time, values: times }, { ...value, values }] };
}

export async function run(panel, variables, range, width) {
  const several = panel.targets.length > 1;
  const frames = await Promise.all(
    panel.targets.filter((target) => !target.hide).map(async (target) => {
      const query = interpolate(target.expr, variables, range, width);
      if (target.instant) {
        const { result } = await ask('query', { query, time: range.to.valueOf() / 1000 });
        return target.format === 'table' ? [table(target, result, several)] : series(target, result);
      }
      const step = Math.max(range.scrape, Math.ceil((range.minutes * 60) / width));
      const end = Math.floor(range.to.valueOf() / 1000 / step) * step;
      const { result } = await ask('query_range', { query, start: end - range.minutes * 60, end, step });
      return series(target, result).map((frame) => gaps(frame, step));
    })
  );
  return frames.flat().filter((frame) => frame.length);
}

export async function exemplars(panel, variables, range, width) {
  const wanted = panel.targets.filter((target) => target.exemplar && !target.instant);
  const found = await Promise.all(
    wanted.map((target) =>
      ask('query_exemplars', {
        query: interpolate(target.expr, variables, range, width),
        start: range.from.valueOf() / 1000,
        end: range.to.valueOf() / 1000,
      })
    )
  );
  const all = found.flat().flatMap((one) => one.exemplars.map(({ timestamp, value }) => [timestamp * 1000, Number(value)]));
  // Grafana thins them out too: the largest of each step.
  const steps = new Map();
  for (const [time, value] of all) {
    const step = Math.floor(time / (range.minutes * 60_000) * THINNED);
    if (!(steps.get(step)?.[1] >= value)) {
      steps.set(step, [time, value]);
    }
  }
  return [...steps.values()];
}

// When a series of an annotation's query begins to be something: a line in the panels that show time.
export async function annotations(dashboard, variables, range) {
  const list = (dashboard.annotations?.list ?? []).filter((one) => one.enable !== false && !one.hide && !one.builtIn);
  const step = range.scrape;
  const all = await Promise.all(
    list.map(async (one) => {
      const query = interpolate(one.expr ?? one.target?.expr, variables, range);
      const end = Math.floor(range.to.valueOf() / 1000 / step) * step;
      const { result } = await ask('query_range', { query, start: end - range.minutes * 60, end, step });
      return result.flatMap(({ values }) => {
        const times = values.filter(([, text]) => Number(text)).map(([time]) => time);
        if (one.useValueForTime) {
          const told = [...new Set(values.map(([, text]) => Number(text)))].filter((time) => time > range.from.valueOf());
          return told.map((time) => ({ time, color: one.iconColor ?? 'red', name: one.name }));
        }
        const begins = times.filter((time, index) => !index || time - times[index - 1] > 1.5 * step);
        return begins.map((time) => ({ time: time * 1000, color: one.iconColor ?? 'red', name: one.name }));
      });
    })
  );
  return all.flat();
}
