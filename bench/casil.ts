/**
 * The cost of content inspection: the additional median time of a message in the server with CASIL enabled, measured in
 * one run.
 *
 *     npx tsx --tsconfig tsconfig.test.json bench/casil.ts [--json] [--write FILE]
 *
 * `--write` puts the table into that page, such as docs/benchmarks.md. Exits with 1 if a target was missed.
 */
import { parseArgs } from 'node:util';
import { type CasilSettings, type JsonObject, newId } from '@arqonbus/protocol';
import { type Casil, casil } from '../packages/casil/src/casil.ts';
import { ADVERSARIAL_PAYLOADS, cleanPayload, PATTERN_SETS } from './casil-inputs.ts';
import { table, writeSection } from './report.ts';

interface Result {
  readonly name: string;
  readonly bytes: number;
  readonly offMicros: number;
  readonly onMicros: number;
  readonly addedMicros: number;
  readonly targetMicros: number | undefined;
}

const SENDER = { id: 'arq_client_0123456789abcdefghij' };

/** The part of the publish pipeline around the inspection: parse, inspect if enabled, serialize. */
function publish(guard: Casil, frame: string): number {
  const payload = JSON.parse(frame) as JsonObject;
  const passed = guard.enabledFor('default')
    ? guard.inspect(
        { type: 'event', id: newId(), tenant: 'default', room: 'science', channel: 'explore', payload },
        SENDER,
      ).payload
    : payload;
  return JSON.stringify(passed).length;
}

/** Median time of one call in microseconds, over batches that are long enough for the clock. */
function median(batches: number, batch: number, run: () => void): number {
  const times: number[] = [];
  for (let i = 0; i < batches; i++) {
    const started = process.hrtime.bigint();
    for (let k = 0; k < batch; k++) run();
    times.push(Number(process.hrtime.bigint() - started) / 1_000 / batch);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1]!;
}

function measure(name: string, frame: string, settings: Partial<CasilSettings>, targetMicros?: number): Result {
  const off = casil({ ...settings, mode: 'enforce', enabled: false });
  const on = casil({ ...settings, mode: 'enforce' });
  const small = frame.length < 10_000;
  const [batches, batch] = small ? [100, 100] : [21, 1];
  // Warm up both before timing either, and alternate them, so that machine load affects both alike.
  median(batches, batch, () => publish(off, frame));
  median(batches, batch, () => publish(on, frame));
  const offs: number[] = [];
  const ons: number[] = [];
  for (let round = 0; round < 9; round++) {
    offs.push(median(batches, batch, () => publish(off, frame)));
    ons.push(median(batches, batch, () => publish(on, frame)));
  }
  // The round least disturbed by other load.
  const [offMicros, onMicros] = [Math.min(...offs), Math.min(...ons)];
  return {
    name,
    bytes: Buffer.byteLength(frame),
    offMicros,
    onMicros,
    addedMicros: onMicros - offMicros,
    targetMicros,
  };
}

function run(): Result[] {
  const clean300 = JSON.stringify(cleanPayload(330));
  const clean2k = JSON.stringify(cleanPayload(2_048));
  const few = { redaction_patterns: PATTERN_SETS.personal!.slice(0, 8) };
  const results = [
    measure('clean payload', clean300, {}, 10),
    measure('clean payload, 8 patterns', clean300, few),
    measure('clean payload', clean2k, {}),
    measure('clean payload, 8 patterns', clean2k, few),
  ];
  for (const [patterns, redaction_patterns] of Object.entries(PATTERN_SETS)) {
    for (const [text, payload] of Object.entries(ADVERSARIAL_PAYLOADS)) {
      const frame = JSON.stringify(payload);
      const name = `adversarial "${text}", 32 ${patterns} patterns`;
      results.push(measure(name, frame, { redaction_patterns, transport_redaction: true }, 5_000));
    }
  }
  return results;
}

const HEAD = ['payload', 'bytes', 'off, µs', 'on, µs', 'added, µs', 'target, µs'];

function rowOf({ name, bytes, offMicros, onMicros, addedMicros, targetMicros }: Result): string[] {
  const figures = [offMicros, onMicros, addedMicros].map((micros) => micros.toFixed(1));
  const missed = targetMicros !== undefined && addedMicros >= targetMicros;
  return [
    name,
    String(bytes),
    ...figures,
    targetMicros === undefined ? '' : `< ${targetMicros}${missed ? ' missed' : ''}`,
  ];
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, write: { type: 'string' } } });
const results = run();
if (values.json) {
  process.stdout.write(`${JSON.stringify({ benchmark: 'casil', node: process.version, results }, null, 2)}\n`);
} else {
  for (const row of [HEAD, ...results.map(rowOf)]) {
    process.stdout.write(`${row.map((cell, i) => (i === 0 ? cell.padEnd(64) : cell.padStart(12))).join('')}\n`);
  }
}
if (values.write !== undefined) {
  const how = `Parse, inspect, serialize: median time of one message. Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`;
  writeSection('casil', `${table(HEAD, results.map(rowOf))}\n\n${how}`, values.write);
}
if (results.some(({ addedMicros, targetMicros }) => addedMicros >= (targetMicros ?? Number.POSITIVE_INFINITY))) {
  process.exitCode = 1;
}
