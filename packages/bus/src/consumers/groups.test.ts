import { type JsonObject, newId } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { grantsOf } from '../principal.ts';
import { serverPrincipal, systemSender } from '../system-sender.ts';
import type { Consumed } from './consumer.ts';
import { type GroupRecord, settingsOf } from './group.ts';
import { type Delivered, Node, type NodeOptions, numberOf, PLACE, range, tokenOf, Worker } from './rig.suite.ts';

const GROUP = { ...PLACE, group: 'g' };
const PATIENT = { timeout: 20_000, interval: 20 };

/** Whoever connects as NAME is the subject NAME; `guest` is one, `root` is an admin. */
async function open(options: NodeOptions = {}): Promise<(name: string) => Promise<Worker>> {
  const node = await Node.open(createMemoryEngine(), {
    authenticate: (name) => {
      const role = name === 'guest' ? 'guest' : name === 'root' ? 'admin' : 'user';
      const [tenant = 'default'] = name.includes('@') ? [name.split('@')[1] as string] : [];
      return { subject: name, role, tenant, grants: GRANTS[name] === undefined ? null : grantsOf(GRANTS[name]) };
    },
    ...options,
  });
  return (name) => Worker.connect(node, { as: name });
}

const GRANTS: Readonly<Record<string, Record<string, string[]>>> = {
  reader: { subscribe: ['work:jobs'] },
  consumer: { group: ['work:jobs'] },
  narrow: { subscribe: ['work:*'], group: ['work:jobs'] },
  writer: { publish: ['work:*'] },
};

describe('whoever pulls', () => {
  it.each(['before', 'after'])(
    'takes nothing once it has gone, %s an event came, and keeps what it got by then',
    async (when) => {
      const node = await Node.open(createMemoryEngine());
      const sender = systemSender('http:ada', serverPrincipal('default'), 'http:ada');
      const pull = async (signal?: AbortSignal): Promise<Delivered[]> => {
        const args = { ...GROUP, limit: 1, wait_ms: 50_000 };
        const answer = await node.bus.runner.run({ sender, requestId: newId(), name: 'group.pull', args, signal });
        return (answer as { messages: Delivered[] }).messages;
      };
      const worker = await Worker.connect(node);
      await worker.ask('group.create', { ...GROUP, ack_wait_seconds: 600 });
      const leaving = new AbortController();
      const [first] = await Promise.all([pull(), node.publish([1])]);
      const second = pull(leaving.signal);
      // Until it is under way.
      await worker.ask('group.info', GROUP);
      if (when === 'before') leaving.abort();
      const published = node.publish([2]);
      leaving.abort();
      await Promise.all([second, published]);
      expect((await pull()).map(numberOf)).toEqual([2]);
      expect(await worker.ack(...first)).toMatchObject({ lost: [] });
      expect(await pull(leaving.signal)).toEqual([]);
    },
  );
});

it('P6.9 answers whoever pulls when the bus goes away', async () => {
  const node = await Node.open(createMemoryEngine());
  const worker = await Worker.connect(node);
  await worker.ask('group.create', GROUP);
  const waiting = worker.peer.command('group.pull', { ...GROUP, wait_ms: 50_000 });
  await worker.ask('group.info', GROUP);
  const closing = node.bus.close();
  const answer = await Promise.race([waiting, worker.peer.closed]);
  expect(answer).toMatchObject({ status: 'success', payload: { messages: [], pending: 0 } });
  await closing;
});

describe('who may use groups', () => {
  it('P10.9 is no guest, and nobody who may not read the source, unless the grants name groups', async () => {
    const connect = await open();
    const [ada, guest] = [await connect('ada'), await connect('guest')];
    await ada.ask('group.create', GROUP);
    for (const [command, args] of [
      ['join_channel', GROUP],
      ['group.create', { ...GROUP, group: 'h' }],
      ['group.pull', GROUP],
      ['delivery.ack', { tokens: ['x.y'] }],
    ] as const) {
      expect([command, (await guest.refused(command, args)).code]).toEqual([command, 'AUTHORIZATION_ERROR']);
    }
    for (const [name, isAllowed] of Object.entries({ reader: true, consumer: true, narrow: true, writer: false })) {
      const worker = await connect(name);
      const answer = await worker.peer.command('join_channel', GROUP);
      expect([name, answer.status]).toEqual([name, isAllowed ? 'success' : 'error']);
    }
    const narrow = await connect('narrow');
    expect((await narrow.refused('join_channel', { ...GROUP, channel: 'mail' })).code).toBe('AUTHORIZATION_ERROR');
    expect((await narrow.refused('group.create', { room: 'work', group: 'g' })).code).toBe('AUTHORIZATION_ERROR');
    const reader = await connect('reader');
    expect((await reader.refused('group.create', { ...GROUP, channel: '>' })).code).toBe('AUTHORIZATION_ERROR');
    expect((await reader.ask('group.list', {})).groups).toHaveLength(1);
    expect((await (await connect('writer')).ask('group.list', {})).groups).toEqual([]);
  });

  it('has dead letters published where it may publish, and uses a group that does so whoever made it', async () => {
    const connect = await open();
    const [reader, writer] = [await connect('reader'), await connect('ada')];
    const elsewhere = { ...GROUP, dead_letter: 'work:mail' };
    expect((await reader.refused('group.create', elsewhere)).code).toBe('AUTHORIZATION_ERROR');
    await reader.ask('group.create', GROUP);
    await reader.ask('group.delete', GROUP);
    await writer.ask('group.create', elsewhere);
    expect(await reader.ask('group.create', elsewhere)).toMatchObject({ owner: 'sub:ada' });
  });

  it('is in the same tenant: another one neither sees the group nor answers for its events', async () => {
    const connect = await open();
    const [ada, stranger] = [await connect('ada'), await connect('eve@other')];
    await ada.join('g');
    await ada.peer.publish({ ...PLACE, payload: { n: 1 } });
    const event = await ada.next();
    expect((await stranger.refused('delivery.ack', { tokens: [tokenOf(event)] })).code).toBe('LEASE_LOST');
    expect((await stranger.refused('group.info', GROUP)).code).toBe('NOT_FOUND');
    expect((await stranger.ask('group.list', {})).groups).toEqual([]);
    expect(await ada.ack(event)).toMatchObject({ lost: [] });
  });

  it('may end, pause and move only what it made, unless it is an admin', async () => {
    const connect = await open();
    const [ada, bob, root] = [await connect('ada'), await connect('bob'), await connect('root')];
    await ada.ask('group.create', GROUP);
    for (const [command, args] of [
      ['group.delete', GROUP],
      ['group.pause', GROUP],
      ['group.resume', GROUP],
      ['group.seek', { ...GROUP, sequence: 0 }],
    ] as const) {
      expect([command, (await bob.refused(command, args)).code]).toEqual([command, 'AUTHORIZATION_ERROR']);
      expect(await root.ask(command, args)).toBeDefined();
      if (command === 'group.delete') await ada.ask('group.create', GROUP);
    }
  });
});

describe('what groups bound', () => {
  it('P9.6 holds the groups of a subject, and of a tenant', async () => {
    const connect = await open({ maxGroupsPerSubject: 2, maxGroups: 3 });
    const [ada, bob] = [await connect('ada'), await connect('bob')];
    const make = (worker: Worker, group: string) => worker.peer.command('group.create', { ...PLACE, group });
    expect((await make(ada, 'a')).status).toBe('success');
    expect((await make(ada, 'b')).status).toBe('success');
    expect(await make(ada, 'c')).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 2 } });
    expect((await make(ada, 'a')).status).toBe('success');
    expect((await make(bob, 'c')).status).toBe('success');
    expect(await make(bob, 'd')).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 3 } });
    await ada.ask('group.delete', { ...PLACE, group: 'a' });
    expect((await make(bob, 'd')).status).toBe('success');
  });

  it('counts a membership of a group as a subscription', async () => {
    const connect = await open({ maxSubscriptions: 2 });
    const ada = await connect('ada');
    await ada.join('g');
    await ada.join('g');
    await ada.ask('join_channel', PLACE);
    expect((await ada.refused('join_channel', { ...PLACE, group: 'h' })).code).toBe('LIMIT_EXCEEDED');
    expect((await ada.refused('join_channel', { ...PLACE, channel: 'mail' })).code).toBe('LIMIT_EXCEEDED');
    await ada.ask('leave_channel', GROUP);
    await ada.join('h');
  });

  it('refuses a room of more channels than a group reads, and tells of those that come later', {
    timeout: 60_000,
  }, async () => {
    const node = await Node.open(createMemoryEngine(), { maxChannelsPerSubject: 2_000 });
    const worker = await Worker.connect(node);
    const publish = (n: number) => node.bus.publish(`work:c${n}`, { n });
    for (const n of range(1, 1_000)) await publish(n);
    await worker.ask('group.create', { room: 'work', group: 'g', start: 'all' });
    await publish(1_001);
    expect(await worker.refused('group.create', { room: 'work', group: 'h' })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      limit: 1_000,
    });
    const { positions } = await worker.ask('group.info', { room: 'work', group: 'g' });
    expect(Object.keys(positions as object)).toHaveLength(1_000);
    expect(node.faults.map(String)).toEqual([expect.stringContaining('does not read c1001 too')]);
  });

  it('keeps no more bytes at a member than it may hold, one event excepted', async () => {
    const connect = await open();
    const ada = await connect('ada');
    await ada.join('g', PLACE, 100);
    const large = 'x'.repeat(400_000);
    for (const n of range(1, 5)) await ada.peer.publish({ ...PLACE, payload: { n, large } });
    const held = await ada.take(3);
    expect(await ada.ask('group.info', GROUP)).toMatchObject({ unacked: 3, pending: 2 });
    await ada.ack(...held);
    expect((await ada.take(2)).map(numberOf)).toEqual([4, 5]);
  });

  it('deletes a group that nobody used for as long as it was made to wait', async () => {
    const connect = await open();
    const ada = await connect('ada');
    await ada.ask('group.create', { ...GROUP, expires_seconds: 1 });
    await ada.ask('group.create', { ...GROUP, group: 'used', expires_seconds: 1 });
    await ada.join('used');
    await expect
      .poll(
        async () => ((await ada.ask('group.list', {})).groups as { group: string }[]).map(({ group }) => group),
        PATIENT,
      )
      .toEqual(['used']);
  });
});

describe('bad input to groups', () => {
  it.each([
    ['group.create', { ...PLACE, group: '' }, 'group'],
    ['group.create', { ...PLACE, group: `a${'b'.repeat(64)}` }, 'group'],
    ['group.create', { ...PLACE, group: 'a/b' }, 'group'],
    ['group.create', { group: 'g' }, 'room'],
    ['group.create', { room: '*', group: 'g' }, 'room'],
    ['group.create', { room: 'work', channel: 'pm', group: 'g' }, 'channel'],
    ['group.create', { room: 'work', channel: 'a**', group: 'g' }, 'channel'],
    ['group.create', { ...GROUP, dead_letter: 'nowhere' }, 'dead_letter'],
    ['group.create', { ...GROUP, dead_letter: 'work:*' }, 'dead_letter'],
    ['group.create', { ...GROUP, key: 'order' }, 'key'],
    ['group.create', { ...GROUP, max_attempts: 0 }, 'max_attempts'],
    ['group.create', { ...GROUP, ack_wait_seconds: 0 }, 'ack_wait_seconds'],
    ['group.create', { ...GROUP, backoff_seconds: [] }, 'backoff_seconds'],
    ['group.create', { ...GROUP, start: { sequence: 1 } }, 'start.epoch'],
    ['group.create', { ...GROUP, start: 'never' }, 'start'],
    ['group.create', { room: 'work', group: 'g', start: { sequence: 1, epoch: 'e' } }, 'start'],
    ['group.create', { ...GROUP, unknown: 1 }, 'unknown'],
    ['group.seek', GROUP, 'sequence'],
    ['group.pull', { ...GROUP, wait_ms: 55_001 }, 'wait_ms'],
    ['group.pull', { ...GROUP, limit: 501 }, 'limit'],
    ['delivery.ack', { tokens: [] }, 'tokens'],
    ['delivery.ack', { tokens: range(1, 501).map(String) }, 'tokens'],
    ['delivery.nack', { tokens: ['a.b'], delay_seconds: -1 }, 'delay_seconds'],
    ['join_channel', { ...PLACE, prefetch: 3 }, 'prefetch'],
    ['join_channel', { ...GROUP, prefetch: 0 }, 'prefetch'],
    ['join_channel', { ...GROUP, history: 3 }, 'history'],
  ])('$0 names $2', async (command, args, field) => {
    const ada = await (await open())('ada');
    expect(await ada.refused(command, args)).toMatchObject({ code: 'VALIDATION_ERROR', field });
  });

  it('names the argument of the command that was given, wherever a place is refused', async () => {
    const ada = await (await open())('ada');
    await ada.ask('group.create', GROUP);
    expect(await ada.refused('group.seek', { ...GROUP, sequence: 99 })).toMatchObject({
      code: 'CONFLICT',
      field: 'sequence',
    });
    const start = { sequence: 99, epoch: 'another' };
    expect(await ada.refused('group.create', { ...PLACE, group: 'h', start })).toMatchObject({
      code: 'CONFLICT',
      field: 'start',
    });
  });

  it('P10.3 is nothing that is given again over another line: the first may have broken before its answer came', async () => {
    const connect = await open();
    const [ada, back, bob] = [await connect('ada'), await connect('ada'), await connect('bob')];
    await ada.join('g');
    await ada.peer.publish({ ...PLACE, payload: { n: 1 } });
    const event = await ada.next();
    const tokens = [tokenOf(event)];
    expect(await ada.ack(event)).toEqual({ done: tokens, lost: [] });
    expect((await ada.refused('delivery.ack', { tokens })).code).toBe('LEASE_LOST');
    expect((await back.refused('delivery.nack', { tokens })).code).toBe('LEASE_LOST');
    expect((await bob.refused('delivery.ack', { tokens })).code).toBe('LEASE_LOST');
    expect(await back.ack(event)).toEqual({ done: tokens, lost: [] });
    expect(await back.ask('group.info', GROUP)).toMatchObject({ handled: 1, pending: 0, unacked: 0 });
  });

  it('P10.3 does nothing for tokens that nobody was given', async () => {
    const ada = await (await open())('ada');
    await ada.join('g');
    await ada.peer.publish({ ...PLACE, payload: { n: 1 } });
    const event = await ada.next();
    const forged = [`${tokenOf(event).split('.')[0]}.0`, 'no token', '.', `${tokenOf(event)}x`];
    expect(await ada.refused('delivery.ack', { tokens: forged })).toMatchObject({ code: 'LEASE_LOST', lost: forged });
    expect(await ada.ask('delivery.ack', { tokens: [...forged, tokenOf(event)] })).toEqual({
      done: [tokenOf(event)],
      lost: forged,
    });
  });

  it('drops what clients write into the metadata of deliveries and dead letters', async () => {
    const ada = await (await open())('ada');
    await ada.join('g', { room: 'work' });
    const metadata = { delivery: { token: 'mine' }, dead: { group: 'g', room: 'work', channel: 'jobs' }, own: 1 };
    await ada.peer.publish({ ...PLACE, payload: { n: 1 }, metadata });
    const event = (await ada.next()) as Delivered;
    expect(event.metadata).toMatchObject({ own: 1, delivery: { group: 'g', attempt: 1 } });
    expect(Object.keys(event.metadata)).not.toContain('dead');
  });
});

describe('what a process counts of its groups', () => {
  it('is what waits, what is out, and what was handed out and settled since its start', async () => {
    const node = await Node.open(createMemoryEngine());
    const worker = await Worker.connect(node);
    await worker.ask('group.create', { ...GROUP, backoff_seconds: [0] });
    await worker.join('g', PLACE, 3);
    await node.publish(range(1, 5));
    const [one, two, three] = (await worker.take(3)) as [Delivered, Delivered, Delivered];
    const { groups } = node.bus;
    expect([groups.figures, groups.totals.handOuts]).toEqual([{ driven: 1, pending: 2, unacked: 3 }, 3]);
    await worker.ack(one);
    await worker.ask('delivery.nack', { tokens: [tokenOf(two)] });
    await worker.ask('delivery.reject', { tokens: [tokenOf(three)], reason: 'bad' });
    await expect.poll(() => groups.totals.settled, PATIENT).toMatchObject({ handled: 1, rejected: 1, lost: 0 });
    await worker.ack(...(await worker.take(3)));
    expect(groups.figures).toEqual({ driven: 1, pending: 0, unacked: 0 });
    expect(groups.totals).toMatchObject({ handOuts: 6, settled: { handled: 4, rejected: 1 } });
    await worker.ask('group.delete', GROUP);
    expect(groups.figures.driven).toBe(0);
  });
});

describe('what a deleted group leaves', () => {
  it('is nothing', async () => {
    const engine = createMemoryEngine();
    const node = await Node.open(engine);
    const worker = await Worker.connect(node);
    await worker.join('g');
    await node.publish([1, 2]);
    await worker.ask('delivery.reject', { tokens: [tokenOf(await worker.next())], reason: 'bad' });
    await expect.poll(() => worker.ask('group.info', GROUP), PATIENT).toMatchObject({ dead_letters: 1 });
    for (const space of ['group', 'group_state', 'group_dead']) {
      expect([space, await engine.store.tenants(space)]).toEqual([space, ['default']]);
    }
    await worker.ask('group.delete', GROUP);
    for (const space of ['group', 'group_state', 'group_dead']) {
      expect([space, await engine.store.tenants(space)]).toEqual([space, []]);
    }
    expect(node.bus.groups.size).toBe(0);
  });
});

describe('a part of the program in a group', () => {
  const RECORD: GroupRecord = {
    group_id: 'mailer',
    room: '*',
    channel: '*',
    group: 'the mailer',
    settings: settingsOf({ backoff_seconds: [0], ack_wait_seconds: 0.2 }),
    paused: false,
    owner: 'mailer',
    created_at: 0,
    isInternal: true,
    begin: {},
  };

  it.each([true, false])(
    'takes events of all rooms and answers for them, unseen by clients, kept: %s',
    async (isKept) => {
      const node = await Node.open(createMemoryEngine());
      const worker = await Worker.connect(node);
      const seen: Consumed[] = [];
      const hosted = node.bus.groups.host('default', RECORD, isKept, {
        handle: async (consumed) => {
          // The bus tells of itself in a room of its own.
          if (!consumed.text.includes('"type":"event"')) {
            await consumed.ack();
            return;
          }
          seen.push(consumed);
          if (consumed.attempt === 1) await consumed.nack(0, 'not yet');
          else if (seen.length === 4) await consumed.reject('never');
          else await consumed.ack();
        },
      });
      await node.publish([1]);
      await node.publish([2], { room: 'elsewhere', channel: 'x' });
      await expect.poll(() => seen.map(({ attempt }) => attempt), PATIENT).toEqual([1, 2, 1, 2]);
      const [first] = seen as [Consumed];
      expect(JSON.parse(first.text)).toMatchObject({ payload: { n: 1 }, metadata: { sequence: 1 } });
      expect(first.text).not.toContain('delivery');
      expect(await first.ack()).toEqual({ done: [], lost: [first.token] });
      await expect.poll(() => hosted.deadLetterCount(), PATIENT).toBe(1);
      expect(await hosted.deadLetters(10, undefined)).toMatchObject({
        letters: [{ channel: 'elsewhere:x', reason: 'never' }],
      });
      expect((await worker.ask('group.list', {})).groups).toEqual([]);
      await hosted.forget();
      await node.publish([3]);
      expect([seen.length, node.bus.groups.size]).toEqual([4, 0]);
    },
  );

  it('has its faults told, and gets the event again once the lease is over', async () => {
    const node = await Node.open(createMemoryEngine());
    const attempts: number[] = [];
    node.bus.groups.host('default', RECORD, false, {
      handle: ({ attempt, ack }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('the mailer is broken');
        return ack();
      },
    });
    await node.publish([1]);
    await expect.poll(() => attempts, PATIENT).toEqual([1, 2]);
    expect(node.faults.map(String)).toEqual(['Error: the mailer is broken']);
  });
});

describe('a token that is renewed with narrower grants', () => {
  it('ends the memberships of groups that they do not cover, and gives the events to others', async () => {
    const grants: Record<string, string[]> = {};
    const node = await Node.open(createMemoryEngine(), {
      refresh: (token) => ({ subject: 'ada', grants: { subscribe: grants[token] ?? [] } }),
      authenticate: () => ({ subject: 'ada' }),
    });
    grants.narrow = ['work:mail'];
    const [ada, other] = [await Worker.connect(node), await Worker.connect(node)];
    await ada.join('g');
    await node.publish([1]);
    expect(numberOf(await ada.next())).toBe(1);
    expect(await ada.ask('refresh_token', { token: 'narrow' })).toMatchObject({ left: ['work:jobs/g'] });
    expect(await ada.peer.next(({ payload }) => payload.event === 'membership_revoked')).toMatchObject({
      payload: { ...GROUP, reason: 'grants' },
    });
    await other.join('g');
    const again = await other.next();
    expect([numberOf(again), again.metadata.delivery.attempt]).toEqual([1, 2]);
  });
});

describe('what groups leave out', () => {
  it('P10.11 is what has expired when its turn comes', async () => {
    const node = await Node.open(createMemoryEngine());
    const worker = await Worker.connect(node);
    await worker.ask('group.create', GROUP);
    const past = new Date(Date.now() - 1_000).toISOString();
    const future = new Date(Date.now() + 60_000).toISOString();
    const say = (n: string, metadata: JsonObject) =>
      node.bus.publisher.announce(systemSender('arqonbus', serverPrincipal('default')), {
        ...PLACE,
        id: newId(),
        type: 'event',
        payload: { n },
        metadata,
      });
    await say('late', { expires_at: past });
    await say('asked too late', { request: { deadline: past } });
    await say('fresh', { expires_at: future });
    await worker.join('g');
    expect(numberOf(await worker.next())).toBe('fresh');
    expect(await worker.ask('group.info', GROUP)).toMatchObject({ expired: 2, pending: 0 });
  });

  it('is nothing of a stream that was deleted and begins anew, whose loss is told', async () => {
    const node = await Node.open(createMemoryEngine());
    const worker = await Worker.connect(node);
    await worker.ask('group.create', GROUP);
    await node.publish([1, 2, 3]);
    await worker.join('g', PLACE, 1);
    const stale = await worker.next();
    await node.bus.engine.broker.drop({ tenant: 'default', ...PLACE });
    await node.publish(['new', 'newer']);
    const notice = await worker.peer.next(({ payload }) => payload.event === 'group_lost');
    expect(notice.payload).toMatchObject({ ...PLACE, group: 'g', lost: 2 });
    expect(numberOf(await worker.next())).toBe('new');
    expect((await worker.refused('delivery.ack', { tokens: [tokenOf(stale)] })).code).toBe('LEASE_LOST');
  });
});
