import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Engine } from '../engine.ts';
import { publication, Recorder, range, stream } from '../suite/rig.suite.ts';
import { createSqliteEngine } from './sqlite.ts';

const WRITER = fileURLToPath(new URL('crash-writer.suite.ts', import.meta.url));
/** After how many acknowledgements each process is killed: at the start, in the middle of much traffic, and between. */
const KILLED_AFTER = [1, 900, 250];

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-crash-'));
  path = join(directory, 'bus.db');
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

interface Ack {
  readonly channel: string;
  readonly sequence: number;
  readonly id: string;
  readonly identity: string;
}

/** Runs the writer, kills it after so many acknowledgements, and answers all of them that it told of. */
async function writeAndDie(run: number, count: number): Promise<Ack[]> {
  const writer = spawn(process.execPath, ['--import', 'tsx', WRITER, path, `run${run}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(writer, 'exit');
  let told = '';
  let killed = false;
  writer.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString();
    if (!killed && told.split('\n').length > count) {
      killed = true;
      writer.kill('SIGKILL');
    }
  });
  await Promise.all([exit, once(writer.stdout, 'close')]);
  expect(killed).toBe(true);
  const lines = told.slice(0, told.lastIndexOf('\n')).split('\n');
  return lines.map((line) => {
    const [channel = '', sequence, id = '', number] = line.split(' ');
    return { channel, sequence: Number(sequence), id, identity: `writer-${number}` };
  });
}

async function open(): Promise<Engine> {
  const engine = createSqliteEngine({ path });
  await engine.open(new Recorder());
  return engine;
}

it('holds, after a process was killed at any moment, all that it acknowledged, in order and without gaps', async () => {
  const acks: Ack[] = [];
  const epochs = new Map<string, string>();
  for (const [run, count] of KILLED_AFTER.entries()) {
    const fresh = await writeAndDie(run, count);
    expect(fresh.length).toBeGreaterThanOrEqual(count);
    acks.push(...fresh);
    const engine = await open();
    for (const channel of ['channel-0', 'channel-1', 'channel-2']) {
      const state = await engine.broker.state(stream(channel));
      const kept = await engine.broker.history(stream(channel), { limit: 1_000_000 });
      expect(kept.map((event) => event.sequence)).toEqual(range(1, state.sequence));
      const ids = kept.map((event) => (JSON.parse(event.text) as { id: string }).id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const ack of acks) if (ack.channel === channel) expect(ids[ack.sequence - 1]).toBe(ack.id);
      // An epoch that a crash had changed would make every client reload.
      if (state.sequence > 0) {
        expect(state.epoch).toBe(epochs.get(channel) ?? state.epoch);
        epochs.set(channel, state.epoch);
      }
    }
    const last = acks.at(-1)!;
    const again = await engine.broker.publish(publication(stream(last.channel), last));
    expect(again).toMatchObject({ sequence: last.sequence, duplicate: true });
    await engine.close();
  }
}, 120_000);
