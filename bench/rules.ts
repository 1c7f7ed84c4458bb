/**
 * What a rule with a schema and content inspection add to a publication: µs of one, from its text to the subscriber's
 * frame, beside one in a channel without, in the same run.
 *
 *     npx tsx --tsconfig tsconfig.test.json bench/rules.ts [--write]
 *
 * `--write` puts the table into docs/benchmarks.md.
 */
import { BusError, decode, isRefusal, type JsonObject, newId } from '@arqonbus/protocol';
import { createBus } from '../packages/bus/src/bus.ts';
import type { Session } from '../packages/bus/src/connection/session.ts';
import { principalOf } from '../packages/bus/src/principal.ts';
import type { Message } from '../packages/bus/src/publish.ts';
import { casil } from '../packages/casil/src/casil.ts';
import { ENVELOPE } from './envelope.ts';
import { table, writeSection } from './report.ts';

const ROUNDS = 15;
const BATCHES = 40;
const BATCH = 250;

/** The payload of all benchmarks, field by field. */
const SCHEMA = {
  type: 'object',
  properties: {
    mark: { type: 'string', maxLength: 64 },
    kind: { enum: ['reading', 'fault'] },
    sensor: {
      type: 'object',
      properties: {
        site: { type: 'string' },
        floor: { type: 'integer' },
        name: { type: 'string', pattern: '^[a-z]+$' },
      },
      required: ['site', 'floor', 'name'],
      additionalProperties: false,
    },
    value: { type: 'number' },
    valid: { type: 'boolean' },
    note: { type: 'string' },
  },
  required: ['mark', 'kind', 'sensor', 'value'],
};
const RULE = { max_message_bytes: 65_536, dedupe_seconds: 300, history: { size: 1_000 }, publish: 'members' } as const;

/** Each in a channel of its own; the policy inspects where the rule does not turn it off. */
const CASES = [
  { name: 'no schema, no inspection', channel: 'plain', rule: { casil: 'off' } },
  { name: 'a rule of four fields', channel: 'rule', rule: { ...RULE, casil: 'off' } },
  {
    name: 'the rule and a schema',
    channel: 'schema',
    rule: { ...RULE, schema: { schema: SCHEMA, mode: 'enforce' }, casil: 'off' },
  },
  {
    name: 'the rule, the schema and content inspection',
    channel: 'all',
    rule: { ...RULE, schema: { schema: SCHEMA, mode: 'enforce' } },
  },
] as const;

const bus = await createBus({
  rules: CASES.map(({ channel, rule }) => ({ match: `bench:${channel}`, ...rule })),
  hooks: { publish: [casil({ mode: 'enforce', block_on_probable_secret: true })] },
});

function connect(): Session {
  const wire = { backlog: 0, oneByOne: false, write: () => {}, pauseReading: () => {}, close: () => {} };
  const profile = { clientType: 'service' as const, screenName: null, avatar: null, personality: null };
  const principal = principalOf({ subject: newId(), role: 'admin' });
  return bus.connect({ principal, profile, clientKey: undefined, address: '', join: undefined }, wire);
}

const [publisher, subscriber] = [connect(), connect()];
for (const { channel } of CASES) {
  for (const who of [publisher, subscriber]) {
    await bus.runner.run({ sender: who, requestId: newId(), name: 'join_channel', args: { room: 'bench', channel } });
  }
}

/** A frame for each publication, made before the clock runs: ids differ, as they must. */
function framesFor(channel: string): string[] {
  return Array.from({ length: BATCH }, () => {
    const message = JSON.parse(ENVELOPE) as JsonObject;
    return JSON.stringify({ ...message, id: newId(), room: 'bench', channel });
  });
}

/** Publishes one; with the memory engine it is done when this returns. Throws when it is refused. */
function publish(frame: string): void {
  const message = decode(frame);
  if (isRefusal(message)) throw new Error(message.message);
  void bus.ingress.publish(publisher, message as Message);
}

/** Median time of one publication in microseconds. */
async function time(channel: string): Promise<number> {
  const times: number[] = [];
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const frames = framesFor(channel);
    const started = process.hrtime.bigint();
    for (const frame of frames) publish(frame);
    times.push(Number(process.hrtime.bigint() - started) / 1_000 / BATCH);
    // Outboxes are emptied between batches.
    await new Promise((resolve) => setImmediate(resolve));
  }
  times.sort((one, other) => one - other);
  return times[times.length >> 1] as number;
}

/** A schema that is not looked at would be fast. */
function requireChecks(): void {
  const [frame = ''] = framesFor('all');
  try {
    publish(frame.replace('"kind":"reading"', '"kind":"gossip"'));
  } catch (error) {
    if (error instanceof BusError && error.code === 'SCHEMA_MISMATCH') return;
    throw error;
  }
  throw new Error('the schema takes anything');
}

requireChecks();
const best = CASES.map(() => Number.POSITIVE_INFINITY);
for (let round = 0; round <= ROUNDS; round += 1) {
  // In turns, so that drift of the machine meets all alike; the first round warms up.
  for (const [index, { channel }] of CASES.entries()) {
    const micros = await time(channel);
    if (round > 0) best[index] = Math.min(best[index] as number, micros);
  }
}
await bus.close({ withinMs: 500 });

const [plain = 0] = best;
const HEAD = ['channel with', 'µs', 'of the first'];
const rows = CASES.map(({ name }, index) => {
  const micros = best[index] as number;
  return [name, micros.toFixed(2), `× ${(micros / plain).toFixed(2)}`];
});
for (const row of [HEAD, ...rows]) {
  process.stdout.write(`${row.map((cell, at) => (at === 0 ? cell.padEnd(48) : cell.padStart(14))).join('')}\n`);
}
if (process.argv.includes('--write')) {
  const day = new Date().toISOString().slice(0, 10);
  const how = `Measured ${day}, the least disturbed of ${ROUNDS} rounds, each the median of ${BATCHES} × ${BATCH} publications, in turns. Node ${process.version}.`;
  writeSection('rules', `${table(HEAD, rows)}\n\n${how}`);
}
