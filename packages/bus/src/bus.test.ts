import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BusError, type Envelope, type JsonObject } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { ask } from '../../../test/fixtures/http.ts';
import { Peer, type RefusedHandshake } from '../../../test/fixtures/peer.ts';
import {
  type AttachOptions,
  type Authorize,
  type Bus,
  type CreateBusOptions,
  createBus,
  type MembershipHook,
  type PublishHook,
} from './index.ts';

const opened: Bus[] = [];
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((bus) => bus.close({ withinMs: 500 })));
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function open(options: CreateBusOptions = {}): Promise<Bus> {
  const bus = await createBus(options);
  opened.push(bus);
  return bus;
}

/** An HTTP server on a free port that answers "a page". */
async function page(): Promise<{ server: Server; http: string; ws: string }> {
  const server = createServer((_request, response) => response.end('a page'));
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, http: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` };
}

/** A bus, and the address where clients reach it. */
async function served(options: CreateBusOptions = {}, attach: AttachOptions = {}) {
  const bus = await open(options);
  const { server, http, ws } = await page();
  const attached = bus.attach(server, { path: '/bus', ...attach });
  return { bus, server, http, root: ws, url: `${ws}/bus`, attached };
}

/** A handler that keeps what it is called with, and a way to wait until that is so many. */
function collector() {
  const events: Envelope<JsonObject>[] = [];
  let wake = (): void => {};
  const handler = (event: Envelope): void => {
    events.push(event as Envelope<JsonObject>);
    wake();
  };
  const until = async (count: number): Promise<readonly Envelope<JsonObject>[]> => {
    while (events.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return events;
  };
  return { events, handler, until };
}

/** The refusal that a handshake is answered with. */
async function refusal(url: string, query: Record<string, string> = {}): Promise<RefusedHandshake> {
  return Peer.connect(url, query).then(
    () => Promise.reject(new Error('it was let in')),
    (error: RefusedHandshake) => error,
  );
}

const numbers = (events: readonly Envelope<JsonObject>[]): unknown[] => events.map(({ payload }) => payload.n);

describe('createBus()', () => {
  it('works without options: publish, subscribe, connect', async () => {
    const { bus, url } = await served();
    const peer = await Peer.connect(url, { room: 'orders' });
    const published = await bus.publish('orders:created', { id: 7 });
    expect(published).toMatchObject({ sequence: 1, stored: 'memory', duplicate: false, delivered: 1 });
    expect(await peer.message()).toMatchObject({ type: 'event', from: 'arqonbus', payload: { id: 7 } });
  });

  it('rejects two content policies, and says which option names them', async () => {
    const policy = {
      enabledFor: () => true,
      inspect: ({ payload }: { payload: JsonObject }) => ({ payload, metadata: undefined }),
      shown: ({ payload }: { payload: JsonObject }) => payload,
    };
    await expect(createBus({ hooks: { publish: [policy, policy] } })).rejects.toThrow('"hooks.publish" names several');
    const bus = await open({ hooks: { publish: [policy] } });
    expect((await bus.publish('a:b', {})).sequence).toBe(1);
  });

  it('rejects when its engine cannot open, and leaves nothing behind that keeps the process', async () => {
    const program = `
      import { createBus, loadEngine } from '@arqonbus/bus';
      const engine = await loadEngine({ backend: 'sqlite', mode: 'strict', sqlitePath: '/dev/null/no/bus.db',
        redisUrl: '', valkeyUrl: '', nodeId: 'n' });
      try { await createBus({ engine }); } catch (error) { console.log(error.message); }
      console.log(JSON.stringify(process.getActiveResourcesInfo().filter((kind) => !/Pipe|TTY|TCP/.test(kind))));`;
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      cwd: root,
      timeout: 15_000,
    });
    const [message, resources] = stdout.trim().split('\n');
    expect(message).toContain('/dev/null/no/bus.db');
    expect(JSON.parse(resources ?? '')).toEqual([]);
  });
});

describe('publish and subscribe in the program', () => {
  it('keep the order of a channel, and stop', async () => {
    const bus = await open();
    const { events, handler } = collector();
    const stop = await bus.subscribe('orders:created', handler);
    for (let n = 1; n <= 100; n += 1) await bus.publish('orders:created', { n });
    await bus.publish('orders:deleted', { n: 0 });
    expect(numbers(events)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    stop();
    stop();
    await bus.publish('orders:created', { n: 101 });
    expect(events).toHaveLength(100);
  });

  it('reach all channels of a room with room:*, room-wide events included, and no other room or tenant', async () => {
    const bus = await open();
    const whole = collector();
    const one = collector();
    await bus.subscribe('orders:*', whole.handler);
    await bus.subscribe('orders:created', one.handler);
    await bus.publish('orders:created', { n: 1 });
    await bus.publish('orders:paid', { n: 2 });
    await bus.publish('orders', { n: 3 });
    await bus.publish('people:created', { n: 4 });
    await bus.publish('orders:created', { n: 5 }, { tenant: 'other' });
    expect(numbers(whole.events)).toEqual([1, 2, 3]);
    expect(numbers(one.events)).toEqual([1, 3]);
  });

  it('hear what another node hands over, of a tenant without clients here', async () => {
    const bus = await open();
    const { events, handler } = collector();
    await bus.subscribe('a:b', handler, { tenant: 'acme' });
    const stream = { tenant: 'acme', room: 'a', channel: 'b' };
    const text = JSON.stringify({ type: 'event', payload: { n: 1 } });
    bus.engineEvents.deliver({ stream, sequence: 1, id: 'arq_1', from: 'app:shop', text });
    expect(numbers(events)).toEqual([1]);
  });

  it('hear what clients say', async () => {
    const { bus, url } = await served();
    const { handler, until } = collector();
    await bus.subscribe('orders:*', handler);
    const peer = await Peer.connect(url);
    peer.send({ type: 'event', room: 'orders', channel: 'created', payload: { n: 1 } });
    const [event] = await until(1);
    expect(event).toMatchObject({ from: peer.id, room: 'orders', channel: 'created', payload: { n: 1 } });
  });

  it('tell onFault what a handler throws, at once or later, and go on', async () => {
    const faults: unknown[] = [];
    const bus = await open({ onFault: (error) => faults.push(error) });
    const { events, handler } = collector();
    await bus.subscribe('a:b', () => {
      throw new Error('at once');
    });
    await bus.subscribe('a:b', async () => {
      await null;
      throw new Error('later');
    });
    await bus.subscribe('a:b', handler);
    await bus.publish('a:b', { n: 1 });
    await bus.publish('a:b', { n: 2 });
    expect(numbers(events)).toEqual([1, 2]);
    expect(faults.map(String).sort()).toEqual(['Error: at once', 'Error: at once', 'Error: later', 'Error: later']);
  });

  it('name the sender with "as", and store the same id of the same name once', async () => {
    const bus = await open();
    const { events, handler } = collector();
    await bus.subscribe('a:b', handler);
    const id = 'arq_order-7';
    const first = await bus.publish('a:b', { n: 1 }, { as: 'shop', id });
    const again = await bus.publish('a:b', { n: 1 }, { as: 'shop', id });
    const another = await bus.publish('a:b', { n: 2 }, { as: 'till', id });
    expect([first.duplicate, again.duplicate, another.duplicate]).toEqual([false, true, false]);
    expect(again.sequence).toBe(first.sequence);
    expect(events.map(({ from, id: at }) => [from, at])).toEqual([
      ['app:shop', id],
      ['app:till', id],
    ]);
  });

  it.each<[string, (bus: Bus) => Promise<unknown>]>([
    ['as', (bus) => bus.publish('a:b', {}, { as: 'a b' })],
    ['id', (bus) => bus.publish('a:b', {}, { id: 'order 7' })],
    ['tenant', (bus) => bus.publish('a:b', {}, { tenant: 'a/b' })],
    ['tenant', (bus) => bus.subscribe('a:b', () => {}, { tenant: 'a/b' })],
    ['payload', (bus) => bus.publish('a:b', [1] as unknown as JsonObject)],
    ['payload', (bus) => bus.publish('a:b', 'text' as unknown as JsonObject)],
    ['payload', (bus) => bus.publish('a:b', nested(65))],
    ['channel', (bus) => bus.publish('a:b c', {})],
    ['room', (bus) => bus.publish('*:*', {})],
    ['address', (bus) => bus.subscribe('*:*', () => {})],
  ])('refuse a wrong "%s" with VALIDATION_ERROR (%#)', async (field, call) => {
    const bus = await open();
    await expect(call(bus)).rejects.toMatchObject({ code: 'VALIDATION_ERROR', details: { field } });
  });

  it('take a payload of 64 levels', async () => {
    const bus = await open();
    expect((await bus.publish('a:b', nested(64))).sequence).toBe(1);
  });
});

function nested(levels: number): JsonObject {
  let payload: JsonObject = {};
  for (let level = 1; level < levels; level += 1) payload = { inner: payload };
  return payload;
}

describe('hooks.publish', () => {
  it('replaces what travels on, each hook seeing what the one before left, for program and clients', async () => {
    const seen: unknown[] = [];
    const stamp: PublishHook = ({ payload, tenant, room, channel }, { id }) => {
      seen.push([tenant, room, channel, id]);
      return { payload: { ...payload, stamped: true } };
    };
    const look: PublishHook = ({ payload }) => {
      seen.push(payload.stamped);
      return undefined;
    };
    const { bus, url } = await served({ hooks: { publish: [stamp, look] } });
    const { events, handler } = collector();
    await bus.subscribe('a:b', handler);
    await bus.publish('a:b', { n: 1 }, { as: 'shop' });
    const peer = await Peer.connect(url);
    await peer.publish({ room: 'a', channel: 'b', payload: { n: 2 } });
    expect(events.map(({ payload }) => payload)).toEqual([
      { n: 1, stamped: true },
      { n: 2, stamped: true },
    ]);
    expect(seen).toEqual([['default', 'a', 'b', 'app:shop'], true, ['default', 'a', 'b', peer.id], true]);
  });

  it('refuses with a BusError, before anything is stored or delivered', async () => {
    const refuse: PublishHook = async ({ payload }) => {
      if (payload.n === 13) throw new BusError('VALIDATION_ERROR', 'Not this number.', { field: 'payload.n' });
      return undefined;
    };
    const { bus, url } = await served({ hooks: { publish: [refuse] } });
    const { events, handler } = collector();
    await bus.subscribe('a:b', handler);
    await expect(bus.publish('a:b', { n: 13 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    const peer = await Peer.connect(url);
    const answer = await peer.publish({ room: 'a', channel: 'b', payload: { n: 13 } });
    expect(answer).toMatchObject({ type: 'error', error_code: 'VALIDATION_ERROR', error: 'Not this number.' });
    expect((await bus.publish('a:b', { n: 14 })).sequence).toBe(1);
    expect(numbers(events)).toEqual([14]);
  });

  it('waits for promises of any library', async () => {
    const foreign = {
      // biome-ignore lint/suspicious/noThenProperty: this is what a promise of another library looks like
      then: (_resolve: unknown, reject: (error: BusError) => void) => reject(new BusError('CONFLICT', 'no')),
    } as unknown as Promise<undefined>;
    const bus = await open({ hooks: { publish: [() => foreign] } });
    await expect(bus.publish('a:b', {})).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('keeps the order of one sender however long it takes, and lets others pass', async () => {
    const held: (() => void)[] = [];
    const slow: PublishHook = ({ payload }) => {
      if (payload.slow !== true) return undefined;
      return new Promise((resolve, reject) => {
        held.push(() => (payload.bad === true ? reject(new BusError('CONFLICT', 'no')) : resolve(undefined)));
      });
    };
    const { bus, url } = await served({ hooks: { publish: [slow] } });
    const { events, handler, until } = collector();
    await bus.subscribe('a:*', handler);
    const peer = await Peer.connect(url);
    const publish = (n: number, more: JsonObject = {}): string =>
      peer.send({ type: 'event', room: 'a', channel: 'b', payload: { n, ...more }, ack: true });
    const first = bus.publish('a:b', { n: 1, slow: true }, { as: 'shop' });
    const refused = bus.publish('a:b', { n: 2, slow: true, bad: true }, { as: 'shop' });
    const third = bus.publish('a:b', { n: 3 }, { as: 'shop' });
    await bus.publish('a:b', { n: 4 }, { as: 'till' });
    publish(5, { slow: true });
    publish(6);
    const other = await Peer.connect(url);
    await other.publish({ room: 'a', channel: 'b', payload: { n: 7 } });
    expect(numbers(events)).toEqual([4, 7]);
    // The refusal is known before the event in front of it, and lets nobody pass.
    held[1]?.();
    await expect(refused).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(numbers(events)).toEqual([4, 7]);
    held[0]?.();
    await Promise.all([first, third]);
    held[2]?.();
    expect(numbers(await until(6))).toEqual([4, 7, 1, 3, 5, 6]);
  });
});

describe('hooks.joined and hooks.left', () => {
  it('tell of every membership that begins and ends, once, and can fail nothing', async () => {
    const told: unknown[] = [];
    const faults: unknown[] = [];
    const note =
      (what: string): MembershipHook =>
      ({ id }, place) => {
        told.push([what, id, place]);
        if (what === 'left') throw new Error('left has failed');
        return Promise.reject(new Error('joined has failed'));
      };
    const hooks = { joined: note('joined'), left: note('left') };
    const { url } = await served({ hooks, onFault: (error) => faults.push((error as Error).message) });
    const peer = await Peer.connect(url);
    for (const channel of ['b', 'b', '*']) await peer.ask('join_channel', { room: 'a', channel });
    await peer.ask('leave_channel', { room: 'a', channel: 'b' });
    const [one, room] = [
      { room: 'a', channel: 'b' },
      { room: 'a', channel: '*' },
    ];
    expect(told).toEqual([
      ['joined', peer.id, one],
      ['joined', peer.id, room],
      ['left', peer.id, one],
    ]);
    await peer.close();
    await expect.poll(() => told.at(-1), { timeout: 10_000 }).toEqual(['left', peer.id, room]);
    const failed = ['joined has failed', 'joined has failed', 'left has failed', 'left has failed'];
    expect(faults).toEqual(failed);
  });
});

describe('authenticate and authorize', () => {
  it.each(['at once', 'later'])('says who a client is, %s', async (when) => {
    const { bus, url } = await served({
      authenticate: ({ headers }) => {
        const principal = { subject: String(headers['x-user']), tenant: 'acme', role: 'user' } as const;
        return when === 'later' ? Promise.resolve(principal) : principal;
      },
    });
    const { handler, until } = collector();
    await bus.subscribe('a:b', handler, { tenant: 'acme' });
    const peer = await Peer.connect(url, {}, { headers: { 'x-user': 'ada' } });
    await peer.publish({ room: 'a', channel: 'b', payload: { n: 1 } });
    expect(numbers(await until(1))).toEqual([1]);
    expect(peer.welcome.payload).toMatchObject({ tenant: 'acme', role: 'user' });
  });

  it('holds a client to its grants', async () => {
    const { url } = await served({ authenticate: () => ({ subject: 'ada', grants: { publish: ['a:*'] } }) });
    const peer = await Peer.connect(url);
    expect((await peer.publish({ room: 'a', channel: 'b', payload: {} })).type).toBe('ack');
    const refused = await peer.publish({ room: 'c', channel: 'b', payload: {} });
    expect(refused.error_code).toBe('AUTHORIZATION_ERROR');
  });

  it('refuses with 401 and its own sentence', async () => {
    const told: unknown[] = [];
    const { bus, url } = await served({
      authenticate: () => {
        throw new BusError('AUTHENTICATION_FAILED', 'Log in at /login first.');
      },
    });
    bus.on('auth_failed', ({ payload }) => told.push(payload.reason));
    const { status, body } = await refusal(url);
    expect(status).toBe(401);
    expect(JSON.parse(body)).toMatchObject({ error_code: 'AUTHENTICATION_FAILED', details: 'Log in at /login first.' });
    expect(told).toEqual(['Log in at /login first.']);
  });

  it('closes the socket without a word when it fails, and tells onFault', async () => {
    const faults: unknown[] = [];
    const { url } = await served({
      authenticate: () => Promise.reject(new Error('the user database is away')),
      onFault: (error) => faults.push(error),
    });
    await expect(Peer.connect(url)).rejects.toThrow('socket hang up');
    expect(faults.map(String)).toEqual(['Error: the user database is away']);
  });

  it('authorize has the last word, over clients and program', async () => {
    const asked: string[] = [];
    const { bus, url } = await served({
      authorize: ({ subject }, action, address) => {
        asked.push(`${subject} ${action} ${address}`);
        return address !== 'a:closed';
      },
      authenticate: () => ({ subject: 'ada' }),
    });
    const peer = await Peer.connect(url);
    const refused = await peer.publish({ room: 'a', channel: 'closed', payload: {} });
    expect(refused.error_code).toBe('AUTHORIZATION_ERROR');
    expect((await peer.publish({ room: 'a', channel: 'open', payload: {} })).type).toBe('ack');
    await expect(bus.publish('a:closed', {})).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    expect(asked).toEqual(['ada publish a:closed', 'ada publish a:open', 'null publish a:closed']);
  });
});

it('authorize that answers with a promise refuses, since nobody waits for it', async () => {
  const faults: unknown[] = [];
  const onFault = (error: unknown) => faults.push(error);
  const answers = [() => Promise.resolve(true), () => Promise.reject(new Error('the database is away'))];
  const bus = await open({ authorize: (() => answers.shift()?.()) as unknown as Authorize, onFault });
  for (let n = 0; n < 3; n += 1) {
    await expect(bus.publish('a:b', {})).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
  }
  expect(faults.map(String)).toEqual([expect.stringContaining('it has to say true or false at once')]);
});

describe('limits', () => {
  it('answers 503 beyond maxConnections, and takes the next one when a place is free', async () => {
    const { url, attached } = await served({ limits: { maxConnections: 2 } });
    const [first] = await Promise.all([Peer.connect(url), Peer.connect(url)]);
    const { status, headers, body } = await refusal(url);
    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('5');
    expect(body).toContain('as many connections as it takes');
    expect(attached.refusals.get(503)).toBe(1);
    await first?.close();
    await Peer.connect(url);
  });

  it('closes with 1009 beyond maxMessageBytes', async () => {
    const { bus, url } = await served({ limits: { maxMessageBytes: 1_000 } });
    const { events, handler } = collector();
    await bus.subscribe('a:b', handler);
    const peer = await Peer.connect(url);
    const envelope = { version: '1.0', id: 'arq_1', type: 'event', room: 'a', channel: 'b', payload: { n: '' } };
    const fill = 'x'.repeat(1_000 - JSON.stringify(envelope).length);
    peer.sendRaw(JSON.stringify({ ...envelope, payload: { n: fill } }));
    await peer.ask('ping');
    expect(numbers(events)).toEqual([fill]);
    peer.sendRaw(JSON.stringify({ ...envelope, id: 'arq_2', payload: { n: `${fill}x` } }));
    expect(await peer.closed).toBe(1009);
    expect(events).toHaveLength(1);
  });
});

describe('on', () => {
  it('tells of clients that come and go, until it is stopped', async () => {
    const { bus, url } = await served();
    const told: unknown[] = [];
    const all: string[] = [];
    const stop = bus.on('client_connected', ({ payload }) => told.push(payload.client_id));
    bus.on('*', ({ eventType }) => all.push(eventType));
    const peer = await Peer.connect(url);
    expect(told).toEqual([peer.id]);
    stop();
    await Peer.connect(url);
    expect(told).toEqual([peer.id]);
    expect(all).toEqual(['client_connected', 'client_connected']);
  });
});

describe('close', () => {
  it('ends within its time although a client never reads, and leaves the HTTP server running', async () => {
    const { bus, server, http } = await served({ limits: { maxBacklogBytes: 64 * 1_048_576 } });
    const { port } = server.address() as AddressInfo;
    const deaf = connect(port, '127.0.0.1');
    deaf.write(
      'GET /bus?room=a HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await new Promise<void>((resolve) => {
      const stop = bus.on('client_joined', () => {
        stop();
        resolve();
      });
    });
    deaf.pause();
    const fill = 'x'.repeat(100_000);
    for (let n = 0; n < 200; n += 1) await bus.publish('a:b', { fill });
    const began = performance.now();
    await bus.close({ withinMs: 1_500 });
    // Left to itself the closing handshake has half a minute.
    expect(performance.now() - began).toBeLessThan(10_000);
    deaf.destroy();
    expect((await ask(http)).text).toBe('a page');
    expect(server.listenerCount('upgrade')).toBe(0);
    expect(server.listening).toBe(true);
  });

  it('tells clients, closes them with 1001, and is done once', async () => {
    const { bus, url } = await served();
    const peer = await Peer.connect(url);
    const closing = bus.close();
    expect(bus.close()).toBe(closing);
    await closing;
    expect(await peer.closed).toBe(1001);
    expect(peer.inbox.map(({ payload }) => payload.event)).toContain('shutdown');
  });

  it('does not end the program early although an engine never finishes', async () => {
    const program = `
      import { createBus, memory } from '@arqonbus/bus';
      const engine = memory();
      engine.close = () => new Promise(() => {});
      const bus = await createBus({ engine });
      await bus.close({ withinMs: 100 });
      console.log('closed');`;
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      cwd: root,
      timeout: 15_000,
    });
    expect(stdout).toBe('closed\n');
  });
});
