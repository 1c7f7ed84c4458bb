import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fill, type Json, mismatch, type Variables } from '../../conformance/pattern.ts';
import { runScenario, runVector, type Scenario, type Vector } from '../../conformance/runner.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

const folder = fileURLToPath(new URL('../../conformance/', import.meta.url));

function read<T>(path: string): T {
  return JSON.parse(readFileSync(folder + path, 'utf8')) as T;
}

interface Patterns {
  readonly variables: Record<string, Json>;
  readonly fill: readonly { readonly value: Json; readonly filled: Json }[];
  readonly match: readonly {
    readonly pattern: Json;
    readonly value?: Json;
    readonly matches: boolean;
    readonly captured?: Record<string, Json>;
  }[];
}

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error' });
});
afterAll(() => server.stop());

const vectors = readdirSync(`${folder}vectors`).flatMap(
  (file) => read<{ vectors: Vector[] }>(`vectors/${file}`).vectors,
);
const scenarios = readdirSync(`${folder}scenarios`).map((file) => read<Scenario>(`scenarios/${file}`));
const patterns = read<Patterns>('patterns.json');

describe('conformance', () => {
  it('has vectors and scenarios', () => {
    expect(vectors.length).toBeGreaterThan(100);
    expect(scenarios.length).toBeGreaterThan(25);
  });

  it.each(vectors.map((vector) => [vector.name, vector] as const))('vector: %s', async (_name, vector) => {
    await runVector(server.urls.bus, vector);
  });

  it.each(scenarios.map((scenario) => [scenario.name, scenario] as const))('scenario: %s', async (_name, scenario) => {
    await runScenario(server.urls.bus, scenario);
  });
});

describe('the matcher of the runner', () => {
  const variables: Variables = new Map(Object.entries(patterns.variables));

  it.each(patterns.fill)('fills $value', ({ value, filled }) => {
    expect(fill(value, variables)).toEqual(filled);
  });

  it.each(patterns.match)('matches $pattern and $value: $matches', ({ pattern, value, matches, captured }) => {
    const found: Variables = new Map();
    expect(mismatch(fill(pattern, variables), value, found) === null).toBe(matches);
    if (captured !== undefined) expect(Object.fromEntries(found)).toEqual(captured);
  });
});
