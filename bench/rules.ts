/**
 * The cost of a rule with a schema and of content inspection: µs per publish, from its text to the subscriber's frame,
 * compared to a channel without them in the same run.
 *
 *     npx tsx --tsconfig tsconfig.test.json bench/rules.ts [--write FILE]
 *
 * `--write` puts the table into that page, such as docs/benchmarks.md.
 */
import { parseArgs } from 'node:util';
import { BusError, decode, isRefusal, type JsonObject, newId } from '@arqonbus/protocol';
import { createBus } from '../packages/bus/src/bus.ts';
import type { Session } from '../packages/bus/src/connection/session.ts';
import { principalOf } from '../packages/bus/src/principal.ts';
import type { Message } from '../packages/bus/src/publish.ts';
import { casil } from '../packages/casil/src/casil.ts';
import { ENVELOPE } from './envelope.ts';
import { table, writeSection } from './report.ts';

const WARM_UP = 40;
const BATCHES = 300;
const BATCH = 250;

/** A schema for all fields of the benchmark payload. */
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

/** Each in a separate channel; the policy inspects unless the rule disables it. */
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
  const wire = { backlog: 0, isOpen: true, oneByOne: false, write: () => {}, pauseReading: () => {}, close: () => {} };
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

/** The frames of a batch, created before the measurement, with different ids. */
function framesFor(channel: string): string[] {
  return Array.from({ length: BATCH }, () => {
    const message = JSON.parse(ENVELOPE) as JsonObject;
    return JSON.stringify({ ...message, id: newId(), room: 'bench', channel });
  });
}

/** Publishes one frame; with the memory engine it is done on return. Throws if it is refused. */
function publish(frame: string): void {
  const message = decode(frame);
  if (isRefusal(message)) throw new Error(message.message);
  void bus.ingress.publish(publisher, message as Message);
}

/** CPU time of one publish in microseconds, over a batch; excludes other processes on the same core. */
async function time(channel: string): Promise<number> {
  const frames = framesFor(channel);
  const started = process.cpuUsage();
  for (const frame of frames) publish(frame);
  const { user, system } = process.cpuUsage(started);
  // Outboxes are flushed between batches.
  await new Promise((resolve) => setImmediate(resolve));
  return (user + system) / BATCH;
}

/** Ensures that the schema is enforced. */
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

const { values } = parseArgs({ options: { write: { type: 'string' } } });
requireChecks();
const times: number[][] = CASES.map(() => []);
for (let batch = -WARM_UP; batch < BATCHES; batch += 1) {
  // Alternated, so that drift of the machine affects all alike.
  for (const [index, { channel }] of CASES.entries()) {
    const micros = await time(channel);
    if (batch >= 0) times[index]?.push(micros);
  }
}
/** Garbage collection and other load only make batches slower, never faster. */
const quartiles = times.map((all) => all.sort((one, other) => one - other)[all.length >> 2] ?? 0);
await bus.close({ withinMs: 500 });

const [plain = 0] = quartiles;
const HEAD = ['channel with', 'CPU µs', 'of the first'];
const rows = CASES.map(({ name }, index) => {
  const micros = quartiles[index] ?? 0;
  return [name, micros.toFixed(2), `× ${(micros / plain).toFixed(2)}`];
});
for (const row of [HEAD, ...rows]) {
  process.stdout.write(`${row.map((cell, at) => (at === 0 ? cell.padEnd(48) : cell.padStart(14))).join('')}\n`);
}
if (values.write !== undefined) {
  const day = new Date().toISOString().slice(0, 10);
  const how = `Measured ${day}, the lower quartile of ${BATCHES} batches of ${BATCH} publications, in turns. Node ${process.version}.`;
  writeSection('rules', `${table(HEAD, rows)}\n\n${how}`, values.write);
}
