import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Envelope } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { Peer } from '../../../test/fixtures/peer.ts';
import { type Bus, type CreateBusOptions, createBus, loadEngine } from './index.ts';

const ends: (() => Promise<unknown>)[] = [];
const START = Date.UTC(2026, 0, 1);
let now = START;

afterEach(async () => {
  now = START;
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(options: CreateBusOptions = {}): Promise<{ bus: Bus; connect: () => Promise<Peer> }> {
  const bus = await createBus({ limits: { now: () => now }, ...options });
  const server: Server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bus.attach(server);
  ends.push(async () => {
    await bus.close({ withinMs: 500 });
    server.close();
    server.closeAllConnections();
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { bus, connect: () => Peer.connect(url) };
}

async function sqlite(): Promise<CreateBusOptions> {
  const directory = await mkdtemp(join(tmpdir(), 'arqon-options-'));
  ends.push(() => rm(directory, { recursive: true, force: true }));
  const engine = await loadEngine({
    backend: 'sqlite',
    mode: 'degraded',
    sqlitePath: join(directory, 'bus.db'),
    redisUrl: '',
    valkeyUrl: '',
    nodeId: 'one',
  });
  return { engine, limits: { now: () => now } };
}

const memory = async (): Promise<CreateBusOptions> => ({ limits: { now: () => now } });
const ENGINES = [
  ['memory', memory],
  ['sqlite', sqlite],
] as const;

const at = { room: 'r', channel: 'x' };
const numbers = (messages: readonly Envelope[]): unknown[] => messages.map(({ payload }) => payload.n);

describe('options.ttl_seconds', () => {
  it('P2.12 delivers at once, and then neither lists nor replays what is over, without a gap', async () => {
    const { bus, connect } = await open();
    const [a, b] = [await connect(), await connect()];
    await b.ask('join_channel', at);
    await a.publish({ ...at, payload: { n: 1 }, options: { ttl_seconds: 60 } });
    expect((await b.message()).metadata).toMatchObject({ expires_at: '2026-01-01T00:01:00.000Z', sequence: 1 });
    await a.publish({ ...at, payload: { n: 2 } });
    await a.publish({ ...at, payload: { n: 3 }, options: { ttl_seconds: 60.5 } });
    await a.publish({ ...at, payload: { n: 4 } });
    now += 60_000;
    const { messages, position } = await a.ask('history', at);
    expect(numbers(messages)).toEqual([2, 3, 4]);
    now += 500;
    expect(numbers((await a.ask('history', at)).messages)).toEqual([2, 4]);
    expect(position).toMatchObject({ sequence: 4 });
    const range = { ...at, from_ts: '2026-01-01T00:00:00Z', to_ts: '2026-01-02T00:00:00Z' };
    expect((await a.ask('op.history.replay', range)).count).toBe(2);
    expect((await a.ask('op.history.get', at)).count).toBe(2);
    const c = await connect();
    const joined = await c.ask('join_channel', { ...at, since: { sequence: 0, epoch: position.epoch } });
    expect(joined).toMatchObject({ recovered: true, sequence: 4 });
    expect(numbers([await c.message(), await c.message()])).toEqual([2, 4]);
    await bus.publish('r:x', { n: 5 });
    expect((await c.message()).payload).toEqual({ n: 5 });
    expect(await c.received('system')).toEqual([]);
  });

  it('does not hand out what comes by too late, but keeps its place', async () => {
    const { bus, connect } = await open();
    const b = await connect();
    await b.ask('join_channel', at);
    const text = (n: number, metadata: object): string =>
      JSON.stringify({ id: `arq_${n}`, type: 'event', payload: { n }, metadata });
    const stream = { tenant: 'default', ...at };
    const event = { stream, from: 'x' };
    const late = text(1, { expires_at: new Date(now).toISOString() });
    expect(bus.hub.deliver({ ...event, id: 'arq_1', sequence: 1, text: late })).toBe(0);
    expect(bus.hub.deliver({ ...event, id: 'arq_2', sequence: 2, text: text(2, {}) })).toBe(1);
    expect((await b.message()).payload).toEqual({ n: 2 });
    expect(bus.rooms.tenant('default').find('r', 'x')?.lastSequence).toBe(2);
  });

  it('is told on private messages too', async () => {
    const { connect } = await open();
    const [a, b] = [await connect(), await connect()];
    a.send({ type: 'private', to: b.id, payload: {}, options: { ttl_seconds: 1 } });
    const { metadata } = await b.message();
    expect(metadata).toMatchObject({ expires_at: '2026-01-01T00:00:01.000Z' });
  });
});

describe('options.expect', () => {
  it.each(ENGINES)('P2.13 stores only where the stream stands as expected, on %s', async (_engine, options) => {
    const { connect } = await open(await options());
    const a = await connect();
    const publish = (expected: object, id?: string) =>
      a.publish({ ...at, payload: {}, ...(id === undefined ? {} : { id }), options: { expect: expected } });
    const first = await publish({ sequence: 0 }, 'arq_first');
    expect(first.payload).toMatchObject({ sequence: 1, duplicate: false });
    const { epoch } = first.payload;
    expect(await publish({ sequence: 0 })).toMatchObject({
      type: 'error',
      error_code: 'CONFLICT',
      payload: { sequence: 1, epoch, last_id: 'arq_first' },
    });
    expect((await publish({ sequence: 0 }, 'arq_first')).payload).toMatchObject({ sequence: 1, duplicate: true });
    expect((await publish({ sequence: 1, epoch: 'other' })).error_code).toBe('CONFLICT');
    expect((await publish({ last_id: 'arq_first' }, 'arq_second')).payload).toMatchObject({ sequence: 2 });
    expect((await publish({ last_id: 'arq_first' })).error_code).toBe('CONFLICT');
    expect((await a.ask('history', at)).messages).toHaveLength(2);
  });
});

describe('options.ephemeral', () => {
  it.each(ENGINES)('P2.14 is live only, in the order sent, on %s', async (_engine, options) => {
    const { connect } = await open(await options());
    const [a, b] = [await connect(), await connect()];
    await b.ask('join_channel', at);
    for (let n = 0; n < 9; n += 1) {
      a.send({ type: 'event', ...at, payload: { n }, ...(n % 3 === 1 ? { options: { ephemeral: true } } : {}) });
    }
    const seen: Envelope[] = [];
    while (seen.length < 9) seen.push(await b.message());
    expect(numbers(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(seen.filter(({ metadata }) => metadata?.sequence === undefined).map(({ payload }) => payload.n)).toEqual([
      1, 4, 7,
    ]);
    expect(seen[1]?.metadata).toEqual({ sender: { type: 'service', role: 'user' } });
    expect(numbers((await a.ask('history', at)).messages)).toEqual([0, 2, 3, 5, 6, 8]);
  });

  it('is acked as stored nowhere, and delivered once an id', async () => {
    const { connect } = await open();
    const [a, b] = [await connect(), await connect()];
    await b.ask('join_channel', at);
    const send = () => a.publish({ ...at, id: 'arq_typing', payload: {}, options: { ephemeral: true } });
    expect((await send()).payload).toMatchObject({ stored: 'none', delivered: 1, duplicate: false, sequence: 0 });
    expect((await send()).payload).toMatchObject({ delivered: 0, duplicate: true });
    expect(await b.received('event')).toHaveLength(1);
  });
});

describe('options that others act on', () => {
  it('travel as marks that only the server writes', async () => {
    const { connect } = await open();
    const [a, b] = [await connect(), await connect()];
    await b.ask('join_channel', at);
    const metadataGiven = { receipt: true, delivery: {}, dead: {} };
    await a.publish({ ...at, payload: {}, metadata: metadataGiven, options: { receipt: 'workers' } });
    const { metadata } = await b.message();
    expect(metadata).toMatchObject({ receipt: 'workers' });
    expect(metadata).not.toHaveProperty('delivery');
    expect(metadata).not.toHaveProperty('dead');
  });
});

describe('bus.publish()', () => {
  it('takes the same options by their names in the language', async () => {
    const { bus } = await open();
    expect(await bus.publish('r:x', {}, { expect: { sequence: 0 }, ttlSeconds: 5 })).toMatchObject({ sequence: 1 });
    await expect(bus.publish('r:x', {}, { expect: { sequence: 0 } })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await bus.publish('r:x', {}, { ephemeral: true })).toMatchObject({ sequence: 0, stored: 'none' });
    const later = await bus.publish('r:x', {}, { as: 'shop', delaySeconds: 3_600 });
    expect(later).toMatchObject({ jobId: expect.stringMatching(/^cron_/), delivered: 0, sequence: 0 });
  });

  it.each([
    [{ teleport: true }, 'teleport'],
    [{ ttl_seconds: 5 }, 'ttl_seconds'],
    [{ ttlSeconds: 0 }, 'options.ttl_seconds'],
    [{ expect: { lastId: 'x' } }, 'options.expect'],
  ])('refuses %j', async (options, field) => {
    const { bus } = await open();
    await expect(bus.publish('r:x', {}, options as never)).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { field },
    });
  });
});

describe('an event that names its recipients', () => {
  it('is private: nobody else gets it, and no history keeps it', async () => {
    const { connect } = await open();
    const [a, b, c] = [await connect(), await connect(), await connect()];
    for (const peer of [b, c]) await peer.ask('join_channel', at);
    const ack = await a.publish({ ...at, to: b.id, payload: { secret: true } });
    expect(ack.payload).toMatchObject({ delivered: 1, stored: 'none' });
    expect(await b.message()).toMatchObject({ type: 'private', ...at, to: b.id, payload: { secret: true } });
    expect(await c.received('private')).toEqual([]);
    expect(await c.received('event')).toEqual([]);
    expect((await a.ask('history', at)).messages).toEqual([]);
  });
});
