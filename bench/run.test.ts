import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import type { Figures } from './figures.ts';

const RUN = fileURLToPath(new URL('./run.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'bench-test-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', 'tsx', RUN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

it('runs real servers, has every message arrive in order, and writes figures and page', async () => {
  const json = join(directory, 'figures.json');
  const page = join(directory, 'page.md');
  const ended = await bench(
    ...['--peers', 'arqonbus,arqonbus-sse,raw', '--only', 'chat,sse-1to1000,resume', '--scale', '0.01'],
    ...['--rounds', '1', '--attempts', '1', '--seconds', '0.2', '--json', json, '--write', page],
  );
  expect(ended).toMatchObject({ code: 0 });
  const { runs } = JSON.parse(readFileSync(json, 'utf8')) as {
    runs: { scenario: string; peer: string; figures?: Figures; lacks?: string }[];
  };
  expect(runs.map(({ scenario, peer, lacks }) => [scenario, peer, lacks !== undefined])).toEqual([
    ['chat', 'arqonbus', false],
    ['chat', 'raw', true],
    ['sse-1to1000', 'arqonbus', false],
    ['sse-1to1000', 'arqonbus-sse', false],
    ['sse-1to1000', 'raw', true],
    ['resume', 'arqonbus', false],
    ['resume', 'raw', true],
  ]);
  for (const { scenario, figures, lacks } of runs) {
    if (lacks !== undefined) continue;
    expect(figures?.deliveriesPerSecond).toBeGreaterThan(0);
    // Of the others only every 16th message is timed, and there may be fewer.
    if (!scenario.startsWith('sse')) expect(figures?.p50Us).toBeGreaterThan(0);
  }
  const text = readFileSync(page, 'utf8');
  expect(text).toMatch(/^\| \*\*ArqonBus\*\* \(server-sent events\) \| [\d.,]+ \|/m);
  expect(text).toContain('| raw relay (opaque bytes) | – (keeps no history) | – |');
  expect(text).toContain('with 0.01 of the connections');
}, 120_000);

it('names what it does not know', async () => {
  const [peer, scenario] = await Promise.all([bench('--peers', 'nginx'), bench('--only', 'chaos')]);
  expect(peer).toMatchObject({ code: 1, stderr: expect.stringContaining('no peer "nginx"; known: arqonbus,') });
  expect(scenario).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no scenario "chaos"; known: 1to1-closed,'),
  });
});

/** The processes that live now: pid and parent. */
function living(): { pid: string; parent: string }[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' }).trim().split('\n');
  return lines.flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return state!.startsWith('Z') ? [] : [{ pid: pid!, parent: parent! }];
  });
}

it('ends what it started when it is interrupted', async () => {
  const args = [
    '--import',
    'tsx',
    RUN,
    '--peers',
    'raw',
    '--only',
    '1to1-closed-32',
    '--rounds',
    '1000',
    '--attempts',
    '1',
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  await new Promise<void>((resolve) => {
    child.stderr.on('data', (data) => {
      told += data;
      // The first round is over, the server of the second is being started.
      if (told.includes('round 1')) resolve();
    });
  });
  let started: string[] = [];
  while (started.length === 0) {
    started = living().flatMap(({ pid, parent }) => (parent === String(child.pid) ? [pid] : []));
    await new Promise(setImmediate);
  }
  const exit = once(child, 'exit');
  child.kill('SIGINT');
  expect(await exit).toEqual([130, null]);
  // They were killed; the test fails by its time limit if one of them goes on.
  while (living().some(({ pid }) => started.includes(pid))) await new Promise(setImmediate);
}, 60_000);
