import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '@arqonbus/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { startTestServer, type TestServer } from './fixtures/start.ts';

const read = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../deploy/${name}`, import.meta.url)), 'utf8');

interface Panel {
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const { panels } = JSON.parse(read('grafana.json')) as { panels: readonly Panel[] };
const rules = (parse(read('alerts.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

/** What an expression asks for: names of metrics, without what a histogram adds to its own. */
function metricsOf(expr: string): string[] {
  return [...expr.matchAll(/\b(?:arqonbus|nodejs|process)_\w+/g)].map(([name]) =>
    name.replace(/_(bucket|sum|count)$/, ''),
  );
}

describe('what is watched from outside', () => {
  let server: TestServer;
  let known: ReadonlyMap<string, string>;

  beforeAll(async () => {
    server = await startTestServer();
    const text = await (await fetch(`${server.urls.http}/metrics`)).text();
    known = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  });
  afterAll(() => server.stop());

  it.each([
    ...panels.flatMap(({ title, targets }) => targets.map(({ expr }): [string, string] => [title, expr])),
    ...rules.filter(({ alert }) => alert !== 'ArqonBusDown').map(({ alert, expr }): [string, string] => [alert, expr]),
  ])('%s asks for metrics that there are: %s', (_title, expr) => {
    const names = metricsOf(expr);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect([...known.keys()]).toContain(name);
  });

  it('takes rates of counters and histograms, and of nothing else', () => {
    const all = [...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)), ...rules.map(({ expr }) => expr)];
    for (const expr of all) {
      const rated = [...expr.matchAll(/rate\((\w+)/g)].map(([, name = '']) => name.replace(/_bucket$/, ''));
      for (const name of metricsOf(expr)) {
        expect([name, rated.includes(name)]).toEqual([name, known.get(name) !== 'gauge']);
      }
    }
  });

  it('names codes and outcomes that there are', () => {
    const exprs = rules.map(({ expr }) => expr).join('\n');
    const codes = [...exprs.matchAll(/code="(\w+)"/g)].map(([, code = '']) => code);
    expect(codes.length).toBeGreaterThan(0);
    for (const code of codes) expect(Object.keys(ERRORS)).toContain(code);
    const outcomes = [...exprs.matchAll(/outcome=~"([\w|]+)"/g)].flatMap(([, list = '']) => list.split('|'));
    expect(outcomes.length).toBeGreaterThan(1);
    for (const outcome of outcomes) expect(Object.keys(server.server.bus.webhooks?.outcomes ?? {})).toContain(outcome);
  });

  it('has alerts that say what to do, each once', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { labels, annotations } of rules) {
      expect(['page', 'ticket']).toContain(labels.severity);
      expect(annotations.summary).toContain('{{ $labels.instance }}');
      expect(annotations.description).toMatch(/\.$/);
    }
  });

  it('has panels that do not lie over one another', () => {
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
  });
});
