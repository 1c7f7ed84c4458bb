import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Role } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { type Bus, type CreateBusOptions, createBus } from '../index.ts';

const opened: Bus[] = [];
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((bus) => bus.close({ withinMs: 500 })));
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

/** Subscriptions that tokens list, by the name that a client comes with. */
const GRANTS: Readonly<Record<string, readonly string[]>> = {
  eu: ['shop:orders.eu', 'shop:orders.eu.*'],
  orders: ['shop:orders.*'],
  elsewhere: ['other:*'],
};

async function serve(options: CreateBusOptions = {}): Promise<{ bus: Bus; url: string }> {
  const bus = await createBus({
    authenticate: ({ url = '' }) => {
      const who = new URL(url, 'ws://x').searchParams.get('screen_name') ?? '';
      const subscribe = GRANTS[who];
      if (subscribe === undefined) return { role: 'admin' as Role };
      return { role: 'user' as Role, grants: { subscribe, history: subscribe, presence: subscribe } };
    },
    refresh: (token) => ({
      role: 'user' as Role,
      grants: { subscribe: GRANTS[token] ?? [] },
    }),
    ...options,
  });
  opened.push(bus);
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bus.attach(server, { path: '/' });
  return { bus, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const named = (url: string, screen_name: string): Promise<Peer> => Peer.connect(url, { screen_name });
/** What a client has had since it was asked last, as `channel n`. */
async function had(peer: Peer): Promise<string[]> {
  const events = await peer.received('event');
  for (const event of events) peer.inbox.splice(peer.inbox.indexOf(event), 1);
  return events.map(({ channel, payload }) => `${channel} ${payload.n}`);
}

describe('a pattern join', () => {
  it('P5.20 takes the channels of the room that match, present and to come, one copy a client', async () => {
    const { bus, url } = await serve();
    await bus.publish('shop:orders.new', { n: 0 });
    const ada = await Peer.connect(url);
    const joined = await ada.ask('join_channel', { room: 'shop', channel: 'orders.*' });
    expect(joined).toMatchObject({ room: 'shop', channel: 'orders.*', scope: 'matching', members: 1, sequence: 0 });
    expect(Object.keys(joined.positions).sort()).toEqual(['*', 'orders.new']);
    await ada.ask('join_channel', { room: 'shop', channel: 'orders.new' });
    await ada.ask('join_channel', { room: 'shop:orders.>' });
    for (const at of ['orders.new', 'orders.paid', 'orders.eu.new', 'orders', 'bills.new']) {
      await bus.publish(`shop:${at}`, { n: 1 });
    }
    await bus.publish('shop', { n: 2 });
    expect(await had(ada)).toEqual(['orders.new 1', 'orders.paid 1', 'orders.eu.new 1', '* 2']);
    expect(await ada.ask('leave_channel', { room: 'shop', channel: 'orders.>' })).toEqual({ left: true });
    await bus.publish('shop:orders.eu.new', { n: 3 });
    await bus.publish('shop:orders.paid', { n: 3 });
    expect(await had(ada)).toEqual(['orders.paid 3']);
    await ada.ask('leave_channel', { room: 'shop', channel: 'orders.*' });
    await bus.publish('shop:orders.paid', { n: 4 });
    expect(await had(ada)).toEqual([]);
    expect(bus.rooms.tenant('default').rooms.get('shop')?.patterns.size).toBe(0);
    expect(await ada.ask('leave_channel', { room: 'shop', channel: 'orders.*' })).toEqual({ left: false });
  });

  it('is no current channel, and gives the sender its echo only when that was asked for', async () => {
    const { url } = await serve();
    const ada = await Peer.connect(url);
    await ada.ask('join_channel', { room: 'shop', channel: 'orders.*' });
    expect((await ada.publish({ payload: {} })).error_code).toBe('NO_ROUTE');
    await ada.publish({ channel: 'orders.a', payload: { n: 1 } });
    expect(await had(ada)).toEqual([]);
    await ada.ask('join_channel', { room: 'shop', channel: 'orders.*', echo: true });
    await ada.publish({ channel: 'orders.a', payload: { n: 2 } });
    expect(await had(ada)).toEqual(['orders.a 2']);
    expect((await ada.publish({ room: 'shop', channel: 'orders.*' })).error_code).toBe('VALIDATION_ERROR');
  });

  it('goes on from a map of positions, new channels from their start', async () => {
    const { bus, url } = await serve();
    const { epoch } = await bus.publish('shop:orders.a', { n: 1 });
    await bus.publish('shop:orders.a', { n: 2 });
    const wide = await bus.publish('shop', { n: 3 });
    await bus.publish('shop:orders.b', { n: 4 });
    await bus.publish('shop:bills', { n: 5 });
    const since = { 'orders.a': { sequence: 1, epoch }, '*': { sequence: wide.sequence, epoch: wide.epoch } };
    const ada = await Peer.connect(url);
    expect(await ada.ask('join_channel', { room: 'shop', channel: 'orders.*', since })).toMatchObject({
      recovered: true,
      positions: { 'orders.a': { sequence: 2, epoch }, 'orders.b': { sequence: 1 } },
    });
    await bus.publish('shop:orders.b', { n: 6 });
    expect(await had(ada)).toEqual(['orders.a 2', 'orders.b 4', 'orders.b 6']);
    for (const wrong of [{ sequence: 1, epoch }, { bills: { sequence: 1, epoch } }]) {
      const refused = await ada.command('join_channel', { room: 'shop', channel: 'orders.*', since: wrong });
      expect(refused).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field: 'since' } });
    }
  });

  it('counts as one subscription, and a room takes so many patterns', async () => {
    const { bus, url } = await serve({ limits: { maxSubscriptions: 1_001 } });
    const ada = await Peer.connect(url);
    for (let n = 0; n < 1_000; n += 1) await ada.ask('join_channel', { room: 'shop', channel: `p${n}.*` });
    const over = await ada.command('join_channel', { room: 'shop', channel: 'one-more.*' });
    expect(over).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 1_000 } });
    await ada.ask('join_channel', { room: 'shop', channel: 'x' });
    expect((await ada.command('join_channel', { room: 'shop', channel: 'y' })).payload.limit).toBe(1_001);
    await ada.ask('leave_channel', { room: 'shop', channel: 'p0.*' });
    await bus.publish('shop:p0.a', { n: 0 });
    await bus.publish('shop:p1.a', { n: 1 });
    expect(await had(ada)).toEqual(['p1.a 1']);
  });

  it('refuses what is no pattern, private messages by pattern, and presence of one', async () => {
    const { url } = await serve();
    const ada = await Peer.connect(url);
    for (const channel of ['a*', '>.a', 'a..*b', '.>', 'a>']) {
      expect((await ada.command('join_channel', { room: 'shop', channel })).error_code, channel).toBe(
        'VALIDATION_ERROR',
      );
    }
    const watched = await ada.command('join_channel', { room: 'shop', channel: 'a.*', presence: true });
    expect(watched).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field: 'presence' } });
    expect((await ada.command('history', { room: 'shop', channel: 'a.*' })).error_code).toBe('VALIDATION_ERROR');
  });
});

describe('grants that cover a room in part', () => {
  it('give a room subscription and a pattern what they cover, and nothing when asked strictly', async () => {
    const { bus, url } = await serve();
    for (const channel of ['shop:orders.eu', 'shop:orders.us', 'shop:bills']) await bus.publish(channel, { n: 0 });
    const [eu, orders] = [await named(url, 'eu'), await named(url, 'orders')];
    const room = await eu.ask('join_channel', { room: 'shop', since: {} });
    expect(room).toMatchObject({ channel: '*', scope: 'granted' });
    expect(Object.keys(room.positions).sort()).toEqual(['*', 'orders.eu']);
    expect(await orders.ask('join_channel', { room: 'shop', channel: 'orders.*', strict: true })).toMatchObject({
      scope: 'matching',
    });
    for (const peer of [eu, orders]) {
      const strict = await peer.command('join_channel', { room: 'shop', channel: '*', strict: true });
      expect(strict.error_code).toBe('AUTHORIZATION_ERROR');
    }
    for (const channel of ['*', 'orders.*']) {
      const refused = await (await named(url, 'elsewhere')).command('join_channel', { room: 'shop', channel });
      expect(refused.error_code).toBe('AUTHORIZATION_ERROR');
    }
    for (const at of ['orders.eu', 'orders.us', 'bills', 'orders.eu.new']) await bus.publish(`shop:${at}`, { n: 1 });
    expect(await had(eu)).toEqual(['orders.eu 1', 'orders.eu.new 1']);
    expect(await had(orders)).toEqual(['orders.eu 1', 'orders.us 1']);
    // What it may not read is not told of either.
    const told = (await eu.received('system')).map(({ payload }) => payload.channel);
    expect(told).toEqual(['orders.eu.new']);
  });

  it('hold for what is replayed', async () => {
    const { bus, url } = await serve();
    const wide = await bus.publish('shop', { n: 0 });
    for (const channel of ['shop:orders.eu', 'shop:orders.us']) await bus.publish(channel, { n: 1 });
    const eu = await named(url, 'eu');
    const since = { '*': { sequence: wide.sequence, epoch: wide.epoch } };
    expect(await eu.ask('join_channel', { room: 'shop', since })).toMatchObject({ recovered: true });
    expect(await had(eu)).toEqual(['orders.eu 1']);
    const history = await eu.command('join_channel', { room: 'shop', history: 5 });
    expect(history.error_code).toBe('AUTHORIZATION_ERROR');
  });

  it('are asked anew when the token is renewed', async () => {
    const { bus, url } = await serve();
    const peer = await named(url, 'eu');
    await peer.ask('join_channel', { room: 'shop' });
    await peer.ask('join_channel', { room: 'shop', channel: 'orders.eu.*' });
    await bus.publish('shop:orders.us', { n: 1 });
    expect(await peer.ask('refresh_token', { token: 'orders' })).toMatchObject({ left: [] });
    await bus.publish('shop:orders.us', { n: 2 });
    expect(await had(peer)).toEqual(['orders.us 2']);
    const { left } = await peer.ask('refresh_token', { token: 'elsewhere' });
    expect(left).toEqual(['shop:*', 'shop:orders.eu.*']);
    await bus.publish('shop:orders.us', { n: 3 });
    expect(await had(peer)).toEqual([]);
  });

  it('leave the last word to the program', async () => {
    const asked: string[] = [];
    const authorize = (_who: unknown, action: string, address: string): boolean => {
      if (action !== 'subscribe') return true;
      asked.push(address);
      return address !== 'shop:orders.eu';
    };
    const { bus, url } = await serve({ authorize });
    const eu = await named(url, 'eu');
    await eu.ask('join_channel', { room: 'shop' });
    for (let n = 0; n < 3; n += 1) {
      await bus.publish('shop:orders.eu', { n });
      await bus.publish('shop:orders.eu.new', { n });
      await eu.ask('join_channel', { room: 'shop', channel: `orders.eu.${n}` });
    }
    expect(await had(eu)).toEqual(['orders.eu.new 0', 'orders.eu.new 1', 'orders.eu.new 2']);
    // Once a channel and session, however often members come and go.
    expect(asked.filter((address) => address === 'shop:orders.eu.new').length).toBeLessThanOrEqual(4);
  });
});
