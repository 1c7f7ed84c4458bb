import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject, PresenceNotice } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { Cluster } from '../cluster.ts';
import type { Frame } from '../connection/frame.ts';
import type { Membership, Session } from '../connection/session.ts';
import type { Engine, EngineEvents, Presence, PresenceEntry } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { Hub } from '../hub.ts';
import { type Bus, createBus } from '../index.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { Rooms } from '../rooms.ts';
import { noRules } from '../rules/rules.suite.ts';
import { KnownStreams } from '../streams/known.ts';
import { Rosters } from './presence.ts';

const opened: Bus[] = [];
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((bus) => bus.close({ withinMs: 500 })));
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

/** The presence that nodes of this process share; each has streams of its own. */
class SharedPresence {
  private readonly entries: Map<string, PresenceEntry> = new Map();
  private readonly nodes: Map<string, EngineEvents> = new Map();
  /** Messages between nodes that get lost. */
  toLose = 0;
  sent = 0;

  engine(node: string): Engine {
    const inner = createMemoryEngine();
    const presence: Presence = {
      announce: async (entry) => void this.entries.set(entry.clientId, structuredClone(entry)),
      withdraw: async (_tenant, clientId) => void this.entries.delete(clientId),
      find: async (_tenant, target) => this.others(node).filter(({ clientId }) => clientId === target),
      list: async (_tenant, room, channel) =>
        this.others(node).filter(({ channels }) =>
          Object.keys(channels).some((at) => room === undefined || at.startsWith(`${room}:${channel ?? ''}`)),
        ),
      send: async (_to, message) => {
        this.sent += 1;
        if (this.toLose > 0) this.toLose -= 1;
        else for (const [other, events] of this.nodes) if (other !== node) events.receive(structuredClone(message));
      },
      report: async () =>
        [...this.nodes.keys()]
          .filter((other) => other !== node)
          .map((other) => ({
            node: other,
            connections: 1,
            connectionsTotal: 1,
            messagesTotal: 0,
            messagesPerMinute: 0,
          })),
    };
    return {
      backend: 'redis',
      broker: inner.broker,
      store: inner.store,
      presence,
      open: (events) => {
        this.nodes.set(node, events);
        return inner.open(events);
      },
      healthy: () => true,
      stats: () => inner.stats(),
      close: () => {
        this.nodes.delete(node);
        return inner.close();
      },
    };
  }

  private others(node: string): PresenceEntry[] {
    return [...this.entries.values()].filter((entry) => entry.node !== node);
  }
}

async function serve(shared: SharedPresence, node: string): Promise<string> {
  const bus = await createBus({ engine: shared.engine(node), limits: { node, presenceGraceMs: 60_000 } });
  opened.push(bus);
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bus.attach(server, { path: '/' });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const place = { room: 'team', channel: 'floor' };
const notice = (peer: Peer) => peer.next(({ payload }) => payload.event === 'presence').then(({ payload }) => payload);

describe('presence on two nodes', () => {
  it('tells of the clients of both, with their states', async () => {
    const shared = new SharedPresence();
    const [one, two] = [await serve(shared, 'one'), await serve(shared, 'two')];
    const [ada, bob] = [await Peer.connect(one), await Peer.connect(two, { screen_name: 'Bob' })];
    await bob.ask('join_channel', { ...place, presence: { state: { at: 'desk' } } });
    await bob.ask('join_channel', { room: 'team', channel: 'hall' });
    const joined = await ada.ask('join_channel', { ...place, presence: true });
    expect(joined.members).toBe(2);
    expect(joined.presence).toMatchObject({ version: 0, count: 2 });
    const states = joined.presence.members.map((member: JsonObject) => [member.client_id, member.state]);
    expect(new Map(states)).toEqual(
      new Map<unknown, unknown>([
        [ada.id, null],
        [bob.id, { at: 'desk' }],
      ]),
    );
    expect(await notice(bob)).toMatchObject({ members: 2, joined: [{ client_id: ada.id }] });
    await bob.ask('presence_update', { ...place, state: { at: 'lunch' } });
    const told = await notice(ada);
    expect(told).toMatchObject({ version: 1, updated: [{ client_id: bob.id, state: { at: 'lunch' } }] });
    expect(told.updated[0].sender).toMatchObject({ name: 'Bob' });
    const { presence: room } = await ada.ask('join_channel', { room: 'team', presence: true });
    expect(room.count).toBe(2);
    const places = room.members.map((member: JsonObject) => `${member.client_id} ${member.channel}`);
    expect(places.sort()).toEqual([`${ada.id} *`, `${ada.id} floor`, `${bob.id} floor`, `${bob.id} hall`].sort());
    expect(JSON.stringify([joined, told, room])).not.toContain('identity');
    const rooms = (await ada.ask('list_rooms')).rooms;
    expect(rooms).toContainEqual({ room: 'team', channels: 2, members: 2, hardcoded: false });
    expect((await ada.ask('channel_info', { room: 'team', channel: 'hall' })).count).toBe(1);
    await bob.close();
    expect(await notice(ada)).toMatchObject({ left: [{ client_id: bob.id, cause: 'left' }] });
  });

  it('tells the other node of many changes as one, and never of a member that has left', async () => {
    const shared = new SharedPresence();
    const [one, two] = [await serve(shared, 'one'), await serve(shared, 'two')];
    const [ada, bob] = [await Peer.connect(one), await Peer.connect(two)];
    await ada.ask('join_channel', { ...place, presence: true });
    await bob.ask('join_channel', place);
    await notice(ada);
    const before = shared.sent;
    for (let state = 1; state <= 200; state += 1) {
      bob.send({ type: 'command', command: 'presence_update', args: { ...place, state } });
    }
    let seen: unknown;
    while (seen !== 200) seen = (await notice(ada)).updated[0].state;
    expect(shared.sent - before).toBeLessThan(100);
    bob.send({ type: 'command', command: 'presence_update', args: { ...place, state: 'gone' } });
    await bob.ask('leave_channel', place);
    expect(await notice(ada)).toMatchObject({ members: 1, left: [{ client_id: bob.id }] });
    await bob.ask('join_channel', place);
    expect(await notice(ada)).toMatchObject({ members: 2, joined: [{ client_id: bob.id, state: null }] });
  });

  it('tells as updated a client that comes back on the other node', async () => {
    const shared = new SharedPresence();
    const [one, two] = [await serve(shared, 'one'), await serve(shared, 'two')];
    const watchers = [await Peer.connect(one), await Peer.connect(two)];
    for (const watcher of watchers) await watcher.ask('join_channel', { ...place, presence: true });
    await notice(watchers[0] as Peer);
    const key = { client_key: 'ada-0123456789abcdef' };
    const before = await Peer.connect(one, key);
    await before.ask('join_channel', place);
    for (const watcher of watchers) expect((await notice(watcher)).joined[0].client_id).toBe(before.id);
    before.ws.terminate();
    const after = await Peer.connect(two, key);
    await after.ask('join_channel', place);
    for (const watcher of watchers) {
      expect(await notice(watcher)).toMatchObject({
        members: 3,
        left: [],
        updated: [{ client_id: after.id, previous_id: before.id }],
      });
    }
  });

  it('finds out what it was not told, once a later message comes', async () => {
    const shared = new SharedPresence();
    const [one, two] = [await serve(shared, 'one'), await serve(shared, 'two')];
    const [ada, bob, carol] = [await Peer.connect(one), await Peer.connect(two), await Peer.connect(two)];
    await ada.ask('join_channel', { ...place, presence: true });
    await bob.ask('join_channel', place);
    await notice(ada);
    shared.toLose = 1;
    await carol.ask('join_channel', place);
    await expect.poll(() => shared.toLose).toBe(0);
    await bob.ask('presence_update', { ...place, state: 1 });
    const told: JsonObject[] = [];
    while (!JSON.stringify(told).includes(carol.id)) told.push(await notice(ada));
    expect(told.at(-1)).toMatchObject({ members: 3, joined: [{ client_id: carol.id }] });
  });
});

describe('what other nodes tell', () => {
  function rig() {
    const clock = new FakeClock();
    const rooms = new Rooms({
      bootstrap: {},
      rules: noRules({ size: 1, ttlMs: 1 }),
      maxChannels: 10,
      maxChannelsPerSubject: 10,
      maxSubscriptions: 10,
      now: () => clock.now(),
    });
    const hub = new Hub(rooms, () => clock.now(), new KnownStreams(() => clock.now(), true));
    const engine = { presence: { list: () => [] }, healthy: () => state.healthy } as unknown as Engine;
    const state = { healthy: true };
    const options = { node: 'a', presenceGraceMs: 5_000, onFault: () => {} };
    const rosters = new Rosters(rooms, hub, new Cluster(null, options, 'run'), engine, options, clock);
    const channel = rooms.create(rooms.tenant('t'), 'team', 'floor', {});
    const notices: PresenceNotice[] = [];
    const session = {
      id: 'arq_client_me',
      identity: 'me',
      standing: {},
      mark: { record: { type: 'service', role: 'user' } },
      outbox: {
        push: ({ text }: Frame) => void notices.push(JSON.parse(text).payload as PresenceNotice),
      },
    } as unknown as Session;
    const membership = { joinedAt: clock.now(), live: true, state: null, stateBytes: 0 } as unknown as Membership;
    channel.enter(session, membership);
    let number = 0;
    const tell = (node: string, op: 'join' | 'leave', client_id: string): void => {
      const sender = { type: 'service', role: 'user' };
      const joined_at = new Date(clock.now()).toISOString();
      const record = { client_id, sender, state: null, joined_at };
      const member = { record, channel: 'floor', identity: client_id, node, stateBytes: 0 };
      number += 1;
      const change = { op, room: 'team', member, cause: 'left' };
      rosters.receive('t', JSON.stringify({ node, run: 'r', number, changes: [change] }));
    };
    return { clock, rosters, channel, session, notices, tell, state };
  }

  async function watching() {
    const set = rig();
    const { version } = await set.rosters.watch(set.channel);
    set.rosters.begin(set.session, set.channel, version);
    return set;
  }

  it('loses the clients of a node that no longer reports, and of no other', async () => {
    const { clock, rosters, notices, tell } = await watching();
    tell('b', 'join', 'bob');
    tell('c', 'join', 'carol');
    clock.advance(2_000);
    rosters.nodes(['c']);
    // It was heard of just now: the report may be older.
    clock.advance(60);
    expect(notices.flatMap(({ left }) => left)).toEqual([]);
    clock.advance(10_000);
    rosters.nodes(['c']);
    clock.advance(60);
    expect(notices.flatMap(({ left }) => left)).toMatchObject([{ client_id: 'bob', cause: 'node_lost' }]);
    expect(notices.at(-1)?.members).toBe(2);
  });

  it('takes nobody for dead while the storage is away, nor right after', async () => {
    const { clock, rosters, notices, tell, state } = await watching();
    tell('b', 'join', 'bob');
    clock.advance(20_000);
    state.healthy = false;
    rosters.nodes([]);
    state.healthy = true;
    rosters.recovered();
    clock.advance(11_000);
    rosters.nodes([]);
    clock.advance(60);
    expect(notices.flatMap(({ left }) => left)).toEqual([]);
  });

  it('keeps a set that nobody watches for a while, and forgets it then', async () => {
    const { clock, rosters, channel, session, tell } = await watching();
    tell('b', 'join', 'bob');
    expect(rosters.count(channel)).toBe(2);
    rosters.unwatch(session, channel);
    clock.advance(29_000);
    tell('b', 'join', 'carol');
    expect(rosters.count(channel)).toBe(3);
    clock.advance(1_100);
    expect(rosters.count(channel)).toBeUndefined();
    expect(clock.pending).toEqual([]);
  });

  it('gives the whole set to a client whose answer was overtaken', async () => {
    const { clock, rosters, channel, session, notices, tell } = rig();
    const { version } = await rosters.watch(channel);
    tell('b', 'join', 'bob');
    const sent: string[] = [];
    Object.assign(session, { send: (text: string) => void sent.push(text) });
    rosters.begin(session, channel, version);
    const [whole] = sent.map((text) => JSON.parse(text).payload as PresenceNotice);
    expect(whole).toMatchObject({ version: 1, members: 2, reset: true });
    expect(whole?.joined.map(({ client_id }) => client_id)).toEqual(['arq_client_me', 'bob']);
    clock.advance(60);
    tell('b', 'leave', 'bob');
    clock.advance(60);
    expect(notices).toMatchObject([{ version: 2, left: [{ client_id: 'bob', cause: 'left' }] }]);
  });
});
