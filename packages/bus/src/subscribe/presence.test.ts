import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
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

async function serve(options: CreateBusOptions = {}): Promise<{ bus: Bus; url: string }> {
  const bus = await createBus(options);
  opened.push(bus);
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bus.attach(server, { path: '/' });
  return { bus, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const place = { room: 'team', channel: 'floor' };
const notice = (peer: Peer) => peer.next(({ payload }) => payload.event === 'presence').then(({ payload }) => payload);
const key = (name: string) => ({ client_key: `${name}-0123456789abcdef` });

describe('presence', () => {
  it('P5.21 answers a join with who is there, and keeps it true by notices', async () => {
    const { url } = await serve();
    const [ada, bob] = [await Peer.connect(url, { screen_name: 'Ada', client_type: 'human' }), await Peer.connect(url)];
    await bob.ask('join_channel', place);
    const { presence, members } = await ada.ask('join_channel', { ...place, presence: { state: { at: 'desk' } } });
    expect(members).toBe(2);
    expect(presence).toEqual({
      version: 0,
      count: 2,
      members: [
        { client_id: bob.id, sender: { type: 'service', role: 'user' }, state: null, joined_at: expect.any(String) },
        {
          client_id: ada.id,
          sender: { name: 'Ada', type: 'human', role: 'user' },
          state: { at: 'desk' },
          joined_at: expect.any(String),
        },
      ],
    });
    await bob.ask('presence_update', { ...place, state: { at: 'lunch' } });
    expect(await notice(ada)).toEqual({
      event: 'presence',
      ...place,
      version: 1,
      members: 2,
      joined: [],
      updated: [expect.objectContaining({ client_id: bob.id, state: { at: 'lunch' } })],
      left: [],
    });
    await bob.ask('identify', { screen_name: 'Bob' });
    expect((await notice(ada)).updated).toMatchObject([{ client_id: bob.id, sender: { name: 'Bob' } }]);
    await bob.ask('leave_channel', place);
    expect(await notice(ada)).toMatchObject({ version: 3, members: 1, left: [{ client_id: bob.id, cause: 'left' }] });
    await ada.ask('leave_channel', place);
    await bob.ask('join_channel', place);
    expect(await ada.received('system')).toEqual([]);
  });

  it('does not tell a client of its own join, nor those who did not ask', async () => {
    const { url } = await serve();
    const [ada, bob, quiet] = [await Peer.connect(url), await Peer.connect(url), await Peer.connect(url)];
    await quiet.ask('join_channel', place);
    await ada.ask('join_channel', { ...place, presence: true });
    const { presence } = await bob.ask('join_channel', { ...place, presence: true });
    expect(presence).toMatchObject({ version: 1, count: 3 });
    expect(await notice(ada)).toMatchObject({ version: 1, joined: [{ client_id: bob.id }] });
    expect(await bob.received('system')).toEqual([]);
    expect(await quiet.received('system')).toEqual([]);
    // Joining again without it ends the notices.
    await bob.ask('join_channel', place);
    await quiet.ask('leave_channel', place);
    expect(await notice(ada)).toMatchObject({ version: 2, left: [{ client_id: quiet.id }] });
    expect(await bob.received('system')).toEqual([]);
  });

  it('P5.23 waits for a line that broke, and tells who is back on another connection as updated', async () => {
    const { url } = await serve({ limits: { presenceGraceMs: 60_000 } });
    const watcher = await Peer.connect(url);
    await watcher.ask('join_channel', { ...place, presence: true });
    const before = await Peer.connect(url, key('ada'));
    await before.ask('join_channel', { ...place, presence: { state: 1 } });
    expect(await notice(watcher)).toMatchObject({ version: 1, joined: [{ client_id: before.id, state: 1 }] });
    before.ws.terminate();
    await before.closed;
    const after = await Peer.connect(url, key('ada'));
    await after.ask('join_channel', { ...place, presence: { state: 2 } });
    expect(await notice(watcher)).toMatchObject({
      version: 2,
      members: 2,
      joined: [],
      left: [],
      updated: [{ client_id: after.id, previous_id: before.id, state: 2 }],
    });
  });

  it('tells a line that broke as lost when the grace is over, and a clean close at once', async () => {
    const { url } = await serve({ limits: { presenceGraceMs: 100 } });
    const watcher = await Peer.connect(url);
    const [ada, bob] = [await Peer.connect(url), await Peer.connect(url)];
    for (const peer of [ada, bob]) await peer.ask('join_channel', place);
    await watcher.ask('join_channel', { ...place, presence: true });
    ada.ws.terminate();
    expect(await notice(watcher)).toMatchObject({ left: [{ client_id: ada.id, cause: 'lost' }] });
    bob.ws.close(1001);
    expect(await notice(watcher)).toMatchObject({ left: [{ client_id: bob.id, cause: 'left' }] });
  });

  it('P5.26 tells of a whole room with a version of its own, each record with its channel', async () => {
    const { url } = await serve();
    const [ada, bob] = [await Peer.connect(url), await Peer.connect(url)];
    await bob.ask('join_channel', place);
    const { presence } = await ada.ask('join_channel', { room: 'team', presence: true });
    expect(presence).toMatchObject({ version: 0, count: 2 });
    expect(presence.members).toMatchObject([
      { client_id: ada.id, channel: '*' },
      { client_id: bob.id, channel: 'floor' },
    ]);
    await bob.ask('join_channel', { room: 'team', channel: 'hall', presence: { state: 'here' } });
    expect(await notice(ada)).toMatchObject({
      room: 'team',
      channel: '*',
      version: 1,
      members: 2,
      joined: [{ client_id: bob.id, channel: 'hall', state: 'here' }],
    });
    await bob.close();
    const left: object[] = [];
    while (left.length < 2) left.push(...(await notice(ada)).left);
    expect(left).toMatchObject([
      { client_id: bob.id, channel: 'floor' },
      { client_id: bob.id, channel: 'hall' },
    ]);
  });

  it('P5.24 refuses states that are too large, one and all of a connection, and those of strangers', async () => {
    const { url } = await serve();
    const ada = await Peer.connect(url);
    const large = 'x'.repeat(4_094);
    await ada.ask('join_channel', { ...place, presence: { state: large } });
    for (const [command, args] of [
      ['presence_update', { ...place, state: `${large}x` }],
      ['join_channel', { room: 'team', channel: 'new', presence: { state: `${large}x` } }],
    ] as const) {
      const { error_code, payload } = await ada.command(command, args);
      expect(error_code).toBe('VALIDATION_ERROR');
      expect(payload).toMatchObject({ field: 'state', limit: 4_096 });
    }
    for (let n = 1; n < 16; n += 1) {
      await ada.ask('join_channel', { room: 'team', channel: `c${n}`, presence: { state: large } });
    }
    const over = { room: 'team', channel: 'c16', presence: { state: 'xx' } };
    expect((await ada.command('join_channel', over)).error_code).toBe('LIMIT_EXCEEDED');
    const unjoined = { room: 'team', channel: 'c16', state: 'x' };
    expect((await ada.command('presence_update', unjoined)).error_code).toBe('NOT_JOINED');
    await ada.ask('leave_channel', { room: 'team', channel: 'c1' });
    await ada.ask('join_channel', over);
    await ada.ask('presence_update', { ...place, state: null });
    const { presence } = await ada.ask('join_channel', { ...place, presence: true });
    expect(presence.members).toMatchObject([{ client_id: ada.id, state: null }]);
    expect((await ada.command('presence_update', place)).error_code).toBe('VALIDATION_ERROR');
  });

  it('P5.25 tells a channel of thousands as numbers, in small frames', async () => {
    const { bus, url } = await serve();
    const watcher = await Peer.connect(url);
    const crowd = await Peer.connect(url);
    const members = 600;
    const { presence } = await watcher.ask('join_channel', { ...place, presence: true });
    expect(presence.count).toBe(1);
    const channel = bus.rooms.tenant('default').find(place.room, place.channel);
    const session = bus.rooms.tenant('default').sessions.get(crowd.id);
    if (channel === undefined || session === undefined) throw new Error('nobody joined');
    const membership = {
      joinedAt: 0,
      live: false,
      echo: false,
      coverage: null,
      isStrict: false,
      asksPresence: true,
      state: null,
      stateBytes: 0,
    };
    for (let n = 0; n < members; n += 1) {
      const one = Object.create(session, { id: { value: `arq_client_${n}` }, identity: { value: `key:${n}` } });
      bus.rosters.joined(one, channel, membership);
    }
    let last = await notice(watcher);
    while (last.members < members + 1) last = await notice(watcher);
    expect(last).toEqual({
      event: 'presence',
      ...place,
      version: 2,
      members: members + 1,
      joined: [],
      updated: [],
      left: [],
      counts_only: true,
    });
  });
});
