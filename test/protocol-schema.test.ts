import { readFile } from 'node:fs/promises';
import { checkTelemetry, NOTICES } from '@arqonbus/bus';
import { decode, isRefusal, type JsonObject, parseAddress } from '@arqonbus/protocol';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { allCommands } from '../scripts/all-commands.ts';
import { protocolSchema } from '../scripts/protocol-schema.ts';
import { ask } from './fixtures/http.ts';
import { Peer } from './fixtures/peer.ts';
import { shareServer } from './fixtures/shared-server.ts';
import { startTestServer } from './fixtures/start.ts';
import { token, WITH_AUTH } from './fixtures/tokens.ts';

const commands = await allCommands();
const document = protocolSchema(commands);
const said: unknown[] = [];
const note = (...words: unknown[]): void => void said.push(words);
// Its default settings: strict, so that whatever it does not know in a schema is an error or a warning.
const validate = new Ajv2020({ logger: { log: note, warn: note, error: note } }).compile(document);

/** Whether the server takes a frame, and for a command its arguments too. */
function isAccepted(text: string): boolean {
  const decoded = decode(text);
  if (isRefusal(decoded)) return false;
  const { type, payload, to, command: name, args } = decoded;
  if (type === 'private') return to !== undefined;
  if (type === 'telemetry') return passes(() => checkTelemetry(payload));
  if (type === 'event') return true;
  const found = commands.find((one) => one.name === name || one.aliases?.includes(name));
  if (found === undefined || !found.args.safeParse(args).success) return false;
  const { room, channel } = args as { room?: string; channel?: string };
  return passes(() => parseAddress(room, channel));
}

function passes(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}

/** Values that are right, and values that are wrong, for each field of an envelope. */
const FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  version: fc.constantFrom('1.0', '1.0', '1.0', '2.0', 1),
  id: fc.constantFrom('arq_1', 'arq_2', `arq_${'a'.repeat(124)}`, 'arq_', 'x', 7, `arq_${'a'.repeat(125)}`),
  room: fc.constantFrom('science', 'a:b', 'a:*', '*', '*:*', '*:a', '_x', '', 'a b', 'a:b:c', 7, null),
  timestamp: fc.constantFrom(
    '2026-01-31T00:00:00Z',
    '2026-01-31t00:00:00+01:00',
    '2026-01-31T00:00:00.1234567890123',
    'now',
    7,
    '2026-13-01T00:00:00Z',
    '2026-02-29T00:00:00',
  ),
  ack: fc.constantFrom(true, false, 'yes', 1),
  request_id: fc.constantFrom('arq_1', 'x'),
  from: fc.constantFrom('somebody', 7),
  metadata: fc.constantFrom(
    {},
    { own: 1, sequence: 'dropped' },
    [],
    { vector_clock: { a: 1 } },
    { vector_clock: { a: -1 } },
    { vector_clock: [] },
    { causal_parent_id: 'arq_1' },
    { causal_parent_id: 7 },
    { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    { traceparent: 'x' },
  ),
  unknown: fc.jsonValue(),
};

const recipients = fc.constantFrom<unknown>('c', ['c', 'sub:x'], [], '', [7], { c: 1 }, null);
const payload = fc.constantFrom<unknown>({}, { a: [1] }, [], 'x', null);
const place = fc.constantFrom<unknown>('science', 'a:b', '*', 'a b', 7);
const telemetry = fc.record(
  {
    eventType: fc.constantFrom<unknown>('a.b', 'a.b', 'a.b', 'a b', '', 7),
    payload: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, payload),
    room: place,
    extra: fc.jsonValue(),
  },
  { requiredKeys: ['eventType', 'payload'] },
);
const args = fc.record(
  {
    room: place,
    limit: fc.constantFrom<unknown>(1, 500, 501, 0, 1.5, 'ten', null),
    key: fc.constantFrom<unknown>('k', '', 'x'.repeat(256), 'x'.repeat(257), 'a\0b', 7),
    value: fc.jsonValue(),
    since: fc.constantFrom<unknown>(
      { sequence: 0, epoch: '' },
      { sequence: 7, epoch: 'e' },
      { sequence: -1, epoch: 'e' },
      { c: { sequence: 1, epoch: 'e' }, '*': { sequence: 1, epoch: 'e' } },
      { 'a b': { sequence: 1, epoch: 'e' } },
      '2026-01-31T00:00:00',
      '2026-02-31T00:00:00Z',
      7,
    ),
    no_such_argument: fc.constant(1),
  },
  { requiredKeys: [] },
);
const called = fc.constantFrom<unknown>(
  'ping',
  'join_channel',
  'history',
  'history.get',
  'op.history.get',
  'op.store.set',
  'op.store.get',
  'no_such_command',
  7,
);

/** A field of an envelope that most envelopes do not have, so that many are right as a whole. */
const seldom = (values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.option(values, { nil: undefined, freq: 1 });

const TYPES: Readonly<Record<string, Readonly<Record<string, fc.Arbitrary<unknown>>>>> = {
  event: { to: seldom(recipients), to_client: seldom(recipients), payload },
  message: { payload },
  private: {
    to: recipients,
    payload: fc.oneof(
      payload,
      recipients.map((target) => ({ target })),
    ),
  },
  telemetry: { to: seldom(recipients), payload: fc.oneof(payload, telemetry) },
  command: {
    command: called,
    args: fc.oneof({ weight: 4, arbitrary: args }, { weight: 1, arbitrary: payload }),
    payload: fc.oneof(
      payload,
      fc.record({ command: called, parameters: fc.oneof(args, payload) }, { requiredKeys: ['command'] }),
    ),
  },
};

/** Frames that the server is more lenient with than the document, on purpose. */
function isLeftOut(frame: JsonObject): boolean {
  const { type, command, args: given, to, payload: held } = frame;
  // With all that the server writes it counts as one of the server's.
  if (['version', 'id', 'from', 'timestamp'].every((field) => frame[field] !== undefined)) return true;
  // The second form of a command has neither name nor arguments on top.
  if (type === 'command') return command === undefined && given !== undefined;
  // Of two fields that name recipients, the first counts.
  const target = type === 'private' && typeof held === 'object' ? (held as JsonObject | null)?.target : undefined;
  return to !== undefined && (target !== undefined || frame.to_client !== undefined);
}

describe('protocol.schema.json', () => {
  it('compiles in a strict validator that has nothing to say', () => {
    expect(said).toEqual([]);
  });

  it.each(['docs/protocol.schema.json', 'docs/asyncapi.yaml'])(
    '%s has regular expressions that the engines of all languages read alike',
    async (path) => {
      const found: string[] = [];
      const visit = (value: unknown): void => {
        if (typeof value !== 'object' || value === null) return;
        for (const [key, held] of Object.entries(value)) {
          if (key === 'pattern' && typeof held === 'string') found.push(held);
          else visit(held);
        }
      };
      visit(parse(await readFile(path, 'utf8')));
      expect(found.length).toBeGreaterThan(20);
      for (const pattern of new Set(found)) {
        // Lookarounds, names, references, and escapes that Go, Rust, Java and Python spell in different ways.
        expect(pattern).not.toMatch(/\(\?[^:]|\\[0-9bBpPkucxQEAzZ](?<!\\x)/);
        expect(pattern).not.toMatch(/\{\d*,?\d{4,}\}/);
      }
    },
  );

  it.each<[command: string, args: JsonObject, isRight: boolean]>([
    ['join_channel', { room: '@', channel: 'ada', group: 'inbox' }, true],
    ['join_channel', { room: '@:~YSBi', group: 'inbox' }, true],
    ['history', { room: '@', channel: 'ada' }, true],
    ['group.pull', { channel: '@:ada', group: 'inbox' }, true],
    ['list_channels', { room: '@' }, false],
    ['history', { room: 'a', channel: 'orders.*' }, false],
    ['join_channel', { room: 'a', channel: 'orders.*' }, true],
    ['join_channel', { room: 'a', channel: 'orders.eu/>' }, true],
    ['join_channel', { room: 'a', channel: '.*' }, false],
    ['join_channel', { room: 'a', channel: `${'x'.repeat(126)}.*` }, true],
    ['join_channel', { room: 'a', channel: `${'x'.repeat(127)}.*` }, false],
    ['join_channel', { room: `a:${'x.'.repeat(64)}*` }, false],
    ['group.create', { room: 'a', channel: 'b', group: 'g', key: 'payload.customer' }, true],
    ['group.create', { room: 'a', channel: 'b', group: 'g', key: 'payload.a\0' }, false],
    ['op.store.get', { key: 'a\0b' }, false],
  ])('takes of %s %j what the server takes', (command, given, isRight) => {
    expect(validate({ type: 'command', command, args: given })).toBe(isRight);
  });

  it.each([
    [`00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, true],
    [`ff-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, false],
    [`00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, false],
    [`00-${'a'.repeat(32)}-${'0'.repeat(16)}-01`, false],
  ])('takes the trace %s: %s', (traceparent, isRight) => {
    const frame = { type: 'event', metadata: { traceparent } };
    expect([validate(frame), isAccepted(JSON.stringify(frame))]).toEqual([isRight, isRight]);
  });

  it.each([
    42,
    null,
    'x',
    [],
    {},
    { payload: {} },
    { type: 'nonsense' },
    { type: 'system', payload: { event: 'shutdown', reconnect_after_ms: 1 } },
    { type: 'command' },
    { type: 'command', command: 'no_such_command' },
    { type: 'command', command: 'op.store.set', args: { key: 'k' } },
    { type: 'command', payload: { command: 'history', parameters: { limit: 'ten' } } },
  ])('refuses %j', (frame) => {
    expect(validate(frame)).toBe(false);
  });

  it.each(Object.keys(TYPES))('accepts what the server accepts as %s, and nothing else', (type) => {
    const common = Object.fromEntries(Object.entries(FIELDS).map(([name, values]) => [name, seldom(values)]));
    const own = TYPES[type] as Readonly<Record<string, fc.Arbitrary<unknown>>>;
    const frames = fc.record({ ...common, ...own, type: fc.constant(type) }, { requiredKeys: ['type'] });
    let accepted = 0;
    fc.assert(
      fc.property(frames, (frame) => {
        fc.pre(!isLeftOut(frame));
        const text = JSON.stringify(frame);
        const isRight = isAccepted(text);
        if (isRight) accepted += 1;
        expect({ text, accepted: validate(JSON.parse(text)) }).toEqual({ text, accepted: isRight });
      }),
      { seed: 11, numRuns: 1_500 },
    );
    // Or the agreement would be about refusals alone.
    expect(accepted).toBeGreaterThan(100);
  });
});

describe('protocol.schema.json, of frames that the server sent', () => {
  const { connect, freshRoom } = shareServer({ ARQONBUS_LOG_LEVEL: 'error' });

  /** That a frame is taken, and is not when a field has another type. */
  function hold(frame: JsonObject): void {
    expect(validate(frame), JSON.stringify([frame, validate.errors])).toBe(true);
    for (const [path, broken] of mutants(frame)) {
      expect(validate(broken), `${frame.type} with another ${path}`).toBe(false);
    }
  }

  it('takes every kind of them and refuses them once a field is mistyped', async () => {
    const place = { room: freshRoom(), channel: 'c' };
    const [a, b] = [await connect(), await connect()];
    await b.ask('join_channel', { ...place, presence: true });
    hold(a.welcome as unknown as JsonObject);
    hold((await a.publish({ ...place, payload: { n: 1 } })) as unknown as JsonObject);
    hold((await b.next(({ type }) => type === 'event')) as unknown as JsonObject);
    a.send({ type: 'private', to: b.id, payload: {} });
    hold((await b.next(({ type }) => type === 'private')) as unknown as JsonObject);
    hold((await a.answer(a.send({ type: 'private', to: 'nobody', payload: {} }))) as unknown as JsonObject);
    hold((await a.command('no_such_command')) as unknown as JsonObject);
    hold((await a.command('ping')) as unknown as JsonObject);
    const { stream_id } = await a.ask('stream.open', place);
    await a.ask('stream.append', { stream_id, text: 'piece by piece' });
    hold((await b.next(({ metadata }) => metadata?.stream !== undefined)) as unknown as JsonObject);
    await a.ask('stream.close', { stream_id, status: 'complete' });
    hold((await b.next(({ metadata }) => metadata?.stream !== undefined)) as unknown as JsonObject);
    await b.ask('join_channel', { room: 'integriguard' });
    a.send({ type: 'telemetry', payload: { eventType: 'x', payload: {} } });
    hold((await b.next(({ type }) => type === 'telemetry')) as unknown as JsonObject);
  });

  it('knows every notice', async () => {
    const notices = new Map<string, JsonObject>();
    const take = async (peer: Peer, event: string): Promise<void> => {
      const frame = await peer.next(({ payload }) => payload.event === event);
      notices.set(event, frame as unknown as JsonObject);
    };
    const place = { room: freshRoom(), channel: 'c' };
    const [a, b] = [await connect(), await connect()];
    notices.set('welcome', a.welcome as unknown as JsonObject);
    await b.ask('join_channel', { room: place.room });
    await b.ask('op.store.watch', { namespace: 'noticed' });
    await a.ask('op.store.set', { namespace: 'noticed', key: 'k', value: 1 });
    await take(b, 'store_changed');
    await a.ask('create_channel', place);
    await take(b, 'channel_created');
    await b.ask('join_channel', { ...place, presence: true });
    await a.ask('join_channel', place);
    await a.ask('leave_channel', place);
    await take(b, 'presence');
    await b.ask('leave_channel', place);
    await a.ask('delete_channel', place);
    await take(b, 'channel_deleted');
    await a.ask('create_channel', { ...place, history: { size: 1 } });
    await a.ask('group.create', { ...place, group: 'g' });
    for (const n of [1, 2, 3]) await a.publish({ ...place, payload: { n } });
    await a.ask('join_channel', { ...place, group: 'g' });
    await take(a, 'group_lost');
    const { stream_id } = await a.ask('stream.open', place);
    await b.ask('stream.cancel', { stream_id });
    await take(a, 'stream_cancel');

    const guarded = await startTestServer(WITH_AUTH);
    const headers = { Authorization: `Bearer ${await token({ sub: 'ada', expiresInSeconds: 50 })}` };
    const c = await Peer.connect(guarded.urls.bus, { room: 'lab', channel: 'x' }, { headers });
    await take(c, 'token_expiring');
    await c.ask('refresh_token', { token: await token({ sub: 'ada', subscribe: ['elsewhere:*'] }) });
    await take(c, 'membership_revoked');
    const root = { Authorization: `Bearer ${await token({ role: 'admin' })}` };
    const body = { room: 'elsewhere:x' };
    await ask(`${guarded.urls.http}/v1/subjects/ada/join`, { headers: root, body });
    await take(c, 'joined');
    await ask(`${guarded.urls.http}/v1/commands/announce`, { headers: root, body: { payload: { text: 'hear' } } });
    await take(c, 'announcement');
    await Promise.all([take(c, 'shutdown'), guarded.stop()]);

    for (const frame of notices.values()) hold(frame);
    // A gap is told when replay is overtaken or the storage was away; their tests make one.
    expect([...notices.keys(), 'history_gap'].sort()).toEqual(Object.keys(NOTICES).sort());
    const gap = { event: 'history_gap', ...place, after_sequence: 7 };
    hold({ ...notices.get('shutdown'), ...place, payload: gap });
  });
});

/** The same frame with one field each of another type; what is the client's own may be anything. */
function mutants(frame: JsonObject): [path: string, frame: JsonObject][] {
  const other = (value: unknown): unknown => (typeof value === 'object' && value !== null ? 7 : { of: 'another type' });
  const own = frame.type === 'event' || frame.type === 'private' || frame.type === 'telemetry';
  const isFree = (path: string): boolean =>
    (own && path.startsWith('payload.')) || path === 'payload.value' || path.startsWith('payload.announcement.');
  return fieldsOf(frame)
    .filter((path) => !isFree(path))
    .map((path) => {
      const broken = structuredClone(frame);
      const keys = path.split('.');
      const last = keys.pop() as string;
      const at = keys.reduce((object, key) => object[key] as JsonObject, broken);
      at[last] = other(at[last]);
      return [path, broken];
    });
}

/** Paths of all fields of an object, and of the objects in it. */
function fieldsOf(value: JsonObject, path = ''): string[] {
  return Object.entries(value).flatMap(([key, item]) => {
    const here = `${path}${key}`;
    const below = typeof item === 'object' && item !== null && !Array.isArray(item);
    return below ? [here, ...fieldsOf(item as JsonObject, `${here}.`)] : [here];
  });
}
