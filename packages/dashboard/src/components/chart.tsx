import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { Moment, Series } from '../model/samples.ts';
import { WINDOW_S } from '../model/samples.ts';
import { theme } from '../session/theme.ts';
import { Panel } from './parts.tsx';

export interface Line {
  readonly name: string;
  readonly of: Series;
  /** Index of the series colour, from 1. */
  readonly colour: 1 | 2 | 3 | 4;
}

interface ChartProps {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly moments: readonly Moment[];
  readonly format: (value: number) => string;
  /** For bytes: uses powers of two on the axis. */
  readonly isBinary?: boolean | undefined;
}

const POWERS: readonly number[] = Array.from({ length: 50 }, (_, power) => 2 ** power);

/** A chart of the last quarter of an hour. Gaps are times without data. */
export function Chart({ title, lines, moments, format, isBinary = false }: ChartProps): VNode {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = lines.map(({ of }) => of).join();
  const { value: shown } = theme;
  useEffect(() => {
    const { current: element } = holder;
    if (element === null) return;
    const made = new uPlot(optionsOf(element, lines, format, isBinary), dataOf(lines, moments), element);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize(sizeOf(element)));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [names, shown]);
  useEffect(() => {
    plot.current?.setData(dataOf(lines, moments));
  }, [lines, moments]);
  const now = moments.at(-1);
  const told = lines.map(({ of, name, colour }) => ({ name, colour, value: now?.[of] ?? null }));
  return (
    <Panel
      title={title}
      flush
      actions={
        <div class="legend">
          {told.map(({ name, colour, value }) => (
            <span key={name} style={{ '--mark': `var(--series-${colour})` }}>
              {name} <b>{value === null ? '–' : format(value)}</b>
            </span>
          ))}
        </div>
      }
    >
      <div ref={holder} class="chart" role="img" aria-label={`${title}, the last 15 minutes`} />
    </Panel>
  );
}

function dataOf(lines: readonly Line[], moments: readonly Moment[]): uPlot.AlignedData {
  return [moments.map(({ at }) => at), ...lines.map(({ of }) => moments.map((moment) => moment[of]))];
}

function sizeOf(element: HTMLElement): { width: number; height: number } {
  const { paddingLeft, paddingRight, paddingTop } = getComputedStyle(element);
  return {
    width: Math.max(50, element.clientWidth - Number.parseFloat(paddingLeft) - Number.parseFloat(paddingRight)),
    height: Math.max(50, element.clientHeight - Number.parseFloat(paddingTop)),
  };
}

function optionsOf(
  element: HTMLElement,
  lines: readonly Line[],
  format: (value: number) => string,
  isBinary: boolean,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const rem = Number.parseFloat(style.fontSize);
  const axis = {
    stroke: colour('--muted'),
    font: `${0.7 * rem}px ${style.getPropertyValue('--font')}`,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    ...sizeOf(element),
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: (_plot, first) => windowFrom(first, Date.now() / 1000) },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.15 : 1] },
    },
    axes: [
      { ...axis, size: 1.6 * rem, space: 6 * rem, values: (_plot, times) => times.map(timeOf) },
      {
        ...axis,
        size: 4.2 * rem,
        space: 2.2 * rem,
        values: (_plot, values) => values.map(format),
        ...(isBinary ? { incrs: [...POWERS] } : {}),
      },
    ],
    series: [
      {},
      ...lines.map(({ name, colour: at }) => ({
        label: name,
        stroke: colour(`--series-${at}`),
        width: Math.max(1.5, rem / 10),
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}

/** The displayed time range: at least a minute, at most a quarter of an hour. */
function windowFrom(first: number | null, now: number): [number, number] {
  return [Math.max(now - WINDOW_S, Math.min(first ?? now, now - 60)), now];
}

function timeOf(seconds: number): string {
  const time = new Date(seconds * 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = `${two(time.getHours())}:${two(time.getMinutes())}`;
  return time.getSeconds() === 0 ? minutes : `${minutes}:${two(time.getSeconds())}`;
}
