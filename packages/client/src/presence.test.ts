import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { setUp } from './connected.suite.ts';
import type { PresenceChange } from './presence.ts';

async function withTwo() {
  const rig = await setUp({ screenName: 'Ada' });
  const bob = new ArqonBusClient({ ...rig.server.options, screenName: 'Bob' });
  await bob.connect();
  return { ...rig, bob };
}

function names(people: { members: readonly { sender: { name?: string } }[] }): (string | undefined)[] {
  return people.members.map(({ sender }) => sender.name);
}

describe('a presence set', () => {
  it('is who is there, and follows who comes, changes and goes', async () => {
    const { client, bob, clock } = await withTwo();
    const told: string[] = [];
    const changes: PresenceChange[] = [];
    const people = await client.presence('a:b', {
      state: { mood: 'busy' },
      onChange: (change) => void changes.push(change),
    });
    for (const event of ['joined', 'updated', 'left'] as const) {
      people.on(event, ({ sender, state, cause }) => void told.push([event, sender.name, state, cause].join(' ')));
    }
    expect(names(people)).toEqual(['Ada']);
    expect(people.members[0]).toMatchObject({ clientId: client.id, state: { mood: 'busy' } });
    const his = await bob.presence('a:b', { state: 'new' });
    expect(names(his)).toEqual(['Ada', 'Bob']);
    await his.update('settled');
    await clock.settle();
    expect(people.members.map(({ state }) => state)).toEqual([{ mood: 'busy' }, 'settled']);
    await his.close();
    await clock.settle();
    expect(told).toEqual(['joined Bob new ', 'updated Bob settled ', 'left Bob settled left']);
    expect([people.count, changes.length, his.closed]).toEqual([1, 3, true]);
  });

  it('gets no messages, and asks for none to be replayed', async () => {
    const { server, client, reconnect } = await withTwo();
    await client.presence('a:b', { state: 1 });
    server.publish('a:b', { n: 1 });
    await reconnect();
    const joins = server.sent('join_channel').map(({ args }) => args);
    expect(joins).toEqual([
      { room: 'a', channel: 'b', echo: false, presence: { state: 1 } },
      { room: 'a', channel: 'b', echo: false, presence: { state: 1 } },
    ]);
  });

  it('is true again after a lost line, and shows the last state', async () => {
    const { server, client, bob, clock, reconnect } = await withTwo();
    const people = await client.presence('a:b', { state: 'first' });
    const his = await bob.presence('a:b', { state: 'his' });
    await people.update('second');
    const left: unknown[] = [];
    people.on('left', ({ sender, cause }) => void left.push([sender.name, cause]));
    server.connections[0]?.kill();
    await his.close();
    await reconnect();
    await clock.settle();
    expect(names(people)).toEqual(['Ada']);
    expect(left).toContainEqual(['Bob', 'lost']);
    expect(server.sent('join_channel').at(-1)?.args).toMatchObject({ presence: { state: 'second' } });
  });

  it('asks for the whole set when a notice is missing', async () => {
    const { server, client, bob, clock } = await withTwo();
    const people = await client.presence('a:b');
    server.skipPresence('a:b');
    await bob.presence('a:b');
    await clock.settle();
    expect(names(people)).toEqual(['Ada', 'Bob']);
    expect(server.sent('join_channel')).toHaveLength(3);
  });

  it('takes a whole set in place of what it knew, and only counts one that is too large', async () => {
    const { server, client, clock } = await setUp();
    const people = await client.presence('a:b');
    const connection = server.connection;
    const tell = async (payload: object): Promise<void> => {
      const notice = { event: 'presence', room: 'a', channel: 'b', joined: [], updated: [], left: [], ...payload };
      connection.send({ type: 'system', room: 'a', channel: 'b', payload: notice });
      await clock.settle();
    };
    const member = { client_id: 'x', sender: { type: 'human', role: 'user' }, state: null, joined_at: '' };
    await tell({ version: 40, reset: true, members: 1, joined: [member] });
    expect(people.members.map(({ clientId }) => clientId)).toEqual(['x']);
    await tell({ version: 41, members: 1, updated: [{ ...member, client_id: 'y', previous_id: 'x' }] });
    expect(people.members).toMatchObject([{ clientId: 'y' }]);
    await tell({ version: 42, members: 501, counts_only: true });
    expect([people.count, people.members, people.countsOnly, people.version]).toEqual([501, [], true, 42]);
    // Of another place: not for this set.
    connection.send({
      type: 'system',
      room: 'a',
      channel: '*',
      payload: { event: 'presence', room: 'a', channel: '*', version: 9 },
    });
    await clock.settle();
    expect(people.count).toBe(501);
  });
});
