import { describe, expect, it } from 'vitest';
import { capacityTable } from './capacity.ts';
import type { Figures } from './figures.ts';
import { readOptions } from './options.ts';
import { PEERS, peerNamed } from './peers/all.ts';
import { connectionsOf, SCENARIOS, type Scenario, scaled, timesOf } from './scenarios.ts';
import { type Run, scenarioTable } from './tables.ts';

const scenarioNamed = (name: string): Scenario => SCENARIOS.find((scenario) => scenario.name === name)!;

describe('options', () => {
  it('run everything unless told otherwise', () => {
    const options = readOptions([]);
    expect(options.scenarios).toEqual(SCENARIOS);
    expect(options.suites.map(({ name }) => name)).toEqual(['groups', 'engines', 'rules', 'casil', 'rolling']);
    // It takes ten minutes.
    expect(readOptions(['--only', 'postgres']).suites.map(({ name }) => name)).toEqual(['postgres']);
    expect(options.rounds).toBeGreaterThan(readOptions(['--quick']).rounds);
  });

  it('choose scenarios and programs by name, or by the beginning of it', () => {
    const { scenarios, suites } = readOptions(['--only', 'memory,groups']);
    expect(scenarios.map(({ name }) => name)).toEqual(['memory-connections', 'memory-channels']);
    expect(suites.map(({ name }) => name)).toEqual(['groups']);
  });

  it('scale connections and channels, down to one', () => {
    const { scenarios } = readOptions(['--only', 'chat,churn,1to1-closed', '--scale', '0.001']);
    expect(scenarios.map(connectionsOf)).toEqual([11, 12, 2, 2]);
    expect(scaled(scenarioNamed('memory-channels'), 0.01)).toMatchObject({ channels: 200 });
    expect(() => readOptions(['--scale', '2'])).toThrow('--scale must be a number above 0 and at most 1, not "2"');
    expect(() => readOptions(['--scale', 'x'])).toThrow('--scale must be a number above 0, not "x"');
  });

  it('measure as long as a scenario needs, and a trial no longer than asked', () => {
    const churn = scenarioNamed('churn');
    expect(timesOf(churn, 2, false).seconds).toBeGreaterThan(10);
    expect(timesOf(churn, 0.2, true)).toEqual({ warmupSeconds: 0.2, seconds: 0.2 });
  });
});

describe('peers', () => {
  it('have names of their own, and titles with note that tell them apart', () => {
    expect(new Set(PEERS.map(({ name }) => name)).size).toBe(PEERS.length);
    expect(new Set(PEERS.map(({ title, note }) => `${title} ${note}`)).size).toBe(PEERS.length);
  });

  it('that take part in resumption know how to', () => {
    for (const { name, only, lacks, resume } of PEERS) {
      const takesPart = (only?.includes('resume') ?? true) && lacks?.resume === undefined;
      expect([name, takesPart && resume === undefined]).toEqual([name, false]);
    }
  });
});

describe('tables', () => {
  const run = (peer: string, scenario: string, rest: Partial<Run>): Run => ({
    ...{ peer: peerNamed(peer), scenario: scenarioNamed(scenario), round: 1 },
    ...rest,
  });

  it('show who leads, who failed, and who takes no part and why', () => {
    const runs = [
      run('arqonbus', 'chat', { figures: { deliveriesPerSecond: 3000 } }),
      run('ws', 'chat', { figures: { deliveriesPerSecond: 1000 } }),
      run('arqonbus-bare', 'chat', { fault: 'it burst' }),
      run('raw', 'chat', { lacks: 'has one channel' }),
    ];
    const lines = scenarioTable(scenarioNamed('chat'), runs).split('\n');
    expect(lines[2]).toMatch(/^\| \*\*ArqonBus\*\* \| 3,000 \| {2}\|/);
    expect(lines[3]).toMatch(/^\| naive `ws` [\d.]+ \| 1,000 \| × 3\.0 \|/);
    expect(lines[4]).toMatch(/^\| ArqonBus \(without telemetry and HTTP\) \| failed \|/);
    expect(lines[5]).toMatch(/^\| raw relay \(opaque bytes\) \| – \(has one channel\) \| – \|/);
  });

  it('reckon what a million connections need, from a whole run only', () => {
    const figures: Readonly<Record<string, Figures>> = {
      'memory-connections': { kibPerConnection: 10, connectionsPerSecond: 5000 },
      'memory-channels': { kibPerChannel: 1 },
      chat: { deliveriesPerSecond: 100_000 },
      '1to1000-paced': { serverCpuUsPerDelivery: 10 },
      resume: { resumedPerSecond: 1000 },
    };
    const runs = Object.entries(figures).map(([scenario, own]) => run('arqonbus', scenario, { figures: own }));
    const text = capacityTable(runs) ?? '';
    expect(text).toMatch(/memory of connections \| 10 KiB each .* \| 9\.5 GiB \|/);
    expect(text).toMatch(/an event a connection each 10 s.* \| 2\.0 \|/);
    expect(text).toMatch(/in small channels .* \| 4,000,000 \|/);
    expect(text).toMatch(/nothing to resume .* \| 5\.0 \|/);
    for (const left of runs) expect(capacityTable(runs.filter((one) => one !== left))).toBeUndefined();
  });
});
