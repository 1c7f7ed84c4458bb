import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { systemClock } from '../../clock.ts';
import type { KeySpace, KeyValueStore } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import { createRedisEngine } from '../../engine/redis/redis.ts';
import { createSqliteEngine } from '../../engine/sqlite/sqlite.ts';
import { systemSender } from '../../system-sender.ts';
import { SharedBackend } from '../cluster.suite.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { onEnd, ownerOf, settled, turn } from '../rig.suite.ts';
import { leaseClusterSuite, leaseSuite, openLeaseRig, user } from './lease.suite.ts';

leaseSuite('memory', async () => [createMemoryEngine()]);

leaseSuite('sqlite', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'arqonbus-lease-'));
  onEnd(() => rm(directory, { recursive: true }));
  return [createSqliteEngine({ path: join(directory, 'bus.db') })];
});

const onSharedBackend = async (nodes: readonly string[]) => {
  const backend = new SharedBackend(systemClock());
  await backend.open();
  onEnd(() => backend.close());
  return nodes.map(() => backend.node().engine);
};
leaseClusterSuite('a shared store', onSharedBackend);

describe.runIf(hasRedis())('with Redis', () => {
  const engines = async (nodes: readonly string[]) => {
    const redis = await PrivateRedis.start();
    onEnd(() => redis.stop());
    return nodes.map((nodeId) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() }));
  };
  leaseSuite('redis', engines);
  leaseClusterSuite('redis', engines);

  it('keeps a lease while its owner has a connection to another node', async () => {
    const [one, two] = await engines(['node-a', 'node-b']);
    const [a, b] = [await openLeaseRig(one!, 'node-a'), await openLeaseRig(two!, 'node-b')];
    const [here, there, bob] = [user(a, 'ada'), user(b, 'ada'), user(a, 'bob')];
    const { lease_id } = await a.run(here, 'op.lease.acquire', { keys: ['k'], ttl_seconds: 300 });
    await expect
      .poll(async () => (await two!.presence?.find('default', 'sub:ada'))?.length, { timeout: 15_000 })
      .toBe(1);
    await expect
      .poll(async () => (await one!.presence?.find('default', 'sub:ada'))?.length, { timeout: 15_000 })
      .toBe(1);
    a.bus.closeSession(here, 1000, 'done');
    expect(await b.run(there, 'op.lease.renew', { lease_id })).toMatchObject({ lease_id });
    const waiting = a.run(bob, 'op.lease.acquire', { keys: ['k'], ttl_seconds: 300, wait_ms: 30_000 });
    b.bus.closeSession(there, 1000, 'done');
    expect((await waiting).keys).toEqual(['k']);
  });
});

const LEASE_SPACE: KeySpace = { tenant: 'default', space: 'lease', namespace: '' };
const KEY_SPACE: KeySpace = { tenant: 'default', space: 'leased_key', namespace: 'lease' };

/** A store that tells no changes. */
function deaf(store: KeyValueStore): KeyValueStore {
  return {
    get: (at, key) => store.get(at, key),
    set: (at, key, value, options) => store.set(at, key, value, options),
    delete: (at, key, ifVersion) => store.delete(at, key, ifVersion),
    list: (at, query) => store.list(at, query),
    spaces: () => store.spaces(),
    tenants: (space) => store.tenants(space),
    watch: () => () => {},
  };
}

describe('leases of this node', () => {
  const open = (options = {}) => openLeaseRig(createMemoryEngine(), 'node-a', options);
  const LONG = { ttl_seconds: 300 };

  it('are their owner’s: nobody else renews or releases them, but an admin', async () => {
    const rig = await open();
    const [ada, bob, admin] = [user(rig, 'ada'), user(rig, 'bob'), rig.connect()];
    const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    for (const command of ['op.lease.renew', 'op.lease.release'] as const) {
      expect((await rig.refused(bob, command, { lease_id })).code).toBe('AUTHORIZATION_ERROR');
      expect((await rig.refused(bob, command, { lease_id: 'lease_unknown' })).code).toBe('LEASE_LOST');
    }
    expect(await rig.run(admin, 'op.lease.release', { lease_id })).toMatchObject({ released: true });
  });

  it('need store_write on NAMESPACE/KEY, and store_read to be seen', async () => {
    const rig = await open();
    const ada = user(rig, 'ada', { store_write: ['lease/jobs/*'] });
    const reader = user(rig, 'bob', { store_read: ['lease/jobs/*'] });
    await rig.run(ada, 'op.lease.acquire', { keys: ['jobs/1'], ...LONG });
    for (const args of [{ keys: ['jobs/2', 'other'] }, { keys: ['jobs/2'], namespace: 'default' }]) {
      const refused = await rig.refused(ada, 'op.lease.acquire', { ...args, ...LONG });
      expect(refused.code).toBe('AUTHORIZATION_ERROR');
    }
    expect((await rig.refused(reader, 'op.lease.acquire', { keys: ['jobs/3'], ...LONG })).code).toBe(
      'AUTHORIZATION_ERROR',
    );
    await rig.run(rig.connect(), 'op.lease.acquire', { keys: ['secret'], ...LONG });
    const seen = async (session: typeof ada) => (await rig.run(session, 'op.lease.list', {})).leases;
    expect(await seen(ada)).toMatchObject([{ keys: ['jobs/1'], is_own: true }]);
    expect(await seen(reader)).toMatchObject([{ keys: ['jobs/1'], is_own: false, subject: 'ada' }]);
  });

  it('are listed page by page', async () => {
    const rig = await open();
    const ada = user(rig, 'ada');
    for (let n = 0; n < 5; n += 1) await rig.run(ada, 'op.lease.acquire', { keys: [`k${n}`], ...LONG });
    const first = await rig.run(ada, 'op.lease.list', { limit: 3 });
    const second = await rig.run(ada, 'op.lease.list', { limit: 3, after: first.next });
    expect([first.count, second.count, second.next]).toEqual([3, 2, undefined]);
    expect([...first.leases, ...second.leases].flatMap(({ keys }) => keys).sort()).toHaveLength(5);
  });

  it('refuse what is out of bounds, and say what is wrong', async () => {
    const rig = await open();
    const ada = user(rig, 'ada');
    for (const [args, field] of [
      [{ keys: [] }, 'keys'],
      [{ keys: Array.from({ length: 33 }, (_, n) => `k${n}`) }, 'keys'],
      [{ keys: ['x'.repeat(257)] }, 'keys.0'],
      [{ keys: ['a'], ttl_seconds: 0.5 }, 'ttl_seconds'],
      [{ keys: ['a'], ttl_seconds: 86_401 }, 'ttl_seconds'],
      [{ keys: ['a'], wait_ms: 55_001 }, 'wait_ms'],
    ] as const) {
      expect(await rig.refusal(ada, 'op.lease.acquire', { ...LONG, ...args })).toEqual({
        code: 'VALIDATION_ERROR',
        field,
      });
    }
  });

  it('are given in the order in which they were waited for, also to one that wants more', async () => {
    const rig = await open();
    const [ada, bob, cyd] = [user(rig, 'ada'), user(rig, 'bob'), user(rig, 'cyd')];
    const first = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const order: string[] = [];
    const wait = async (session: typeof ada, name: string, keys: string[]): Promise<string> => {
      const { lease_id } = await rig.run(session, 'op.lease.acquire', { keys, ...LONG, wait_ms: 30_000 });
      order.push(name);
      return lease_id;
    };
    const larger = wait(bob, 'bob', ['a', 'b']);
    const smaller = wait(cyd, 'cyd', ['b']);
    await turn();
    expect(order).toEqual([]);
    await rig.run(ada, 'op.lease.release', { lease_id: first.lease_id });
    await rig.run(bob, 'op.lease.release', { lease_id: await larger });
    await smaller;
    expect(order).toEqual(['bob', 'cyd']);
  });

  it('are not waited for any more by a connection that has gone', async () => {
    const rig = await open();
    const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
    const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const waiting = rig.refused(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, wait_ms: 55_000 });
    await turn();
    rig.bus.closeSession(bob, 1000, 'done');
    expect((await waiting).code).toBe('CONFLICT');
    await rig.run(ada, 'op.lease.release', { lease_id });
    await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
  });

  it('are neither waited for nor taken by a request whose caller has gone', async () => {
    const rig = await open();
    const ada = user(rig, 'ada');
    const caller = systemSender('http:bob', ownerOf({ role: 'user', subject: 'bob' }), 'sub:bob');
    const ask = (signal: AbortSignal, waitMs: number) =>
      rig.runner.run({
        sender: caller,
        requestId: newId(),
        name: 'op.lease.acquire',
        args: { keys: ['a'], ...LONG, wait_ms: waitMs },
        signal,
      });
    const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const leaving = new AbortController();
    const waiting = ask(leaving.signal, 55_000);
    await turn();
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CONFLICT' });
    await rig.run(ada, 'op.lease.release', { lease_id });
    await expect(ask(AbortSignal.abort(), 0)).rejects.toMatchObject({ code: 'CONFLICT' });
    await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
  });

  it('are waited for by 100 at a time of one owner', async () => {
    const rig = await open();
    const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
    await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const wait = () => rig.refused(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, wait_ms: 55_000 });
    const waiting = Array.from({ length: 100 }, wait);
    expect(await wait()).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 100 } });
    rig.bus.closeSession(bob, 1000, 'done');
    for (const refused of await Promise.all(waiting)) expect(refused.code).toBe('CONFLICT');
  });

  it('are looked at again by whoever waits, though nobody tells of their end', async () => {
    const clock = new FakeClock();
    const backend = new SharedBackend(clock);
    await backend.open();
    onEnd(() => backend.close());
    const { engine } = backend.node();
    const rig = await openLeaseRig({ ...engine, store: deaf(engine.store) }, 'node-a', { clock });
    const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
    const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const waiting = rig.run(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, wait_ms: 55_000 });
    await settled(() => clock.pending.length === 2);
    await rig.run(ada, 'op.lease.release', { lease_id });
    clock.advance(5_000);
    expect((await waiting).keys).toEqual(['a']);
  });

  it('are not given when the taking lasted longer than it may, and leave nothing behind', async () => {
    const clock = new FakeClock();
    const backend = new SharedBackend(clock);
    await backend.open();
    onEnd(() => backend.close());
    const { engine } = backend.node();
    const store: KeyValueStore = {
      ...deaf(engine.store),
      set: (at, key, value, options) => {
        // Its keys take eleven seconds to be written.
        if (at.space === 'leased_key') clock.advance(11_000);
        return engine.store.set(at, key, value, options);
      },
    };
    const rig = await openLeaseRig({ ...engine, store }, 'node-a', { clock });
    expect((await rig.refused(user(rig, 'ada'), 'op.lease.acquire', { keys: ['a'], ...LONG })).code).toBe(
      'STORAGE_UNAVAILABLE',
    );
    for (const at of [LEASE_SPACE, KEY_SPACE]) expect(await engine.store.list(at, { limit: 9 })).toEqual([]);
  });

  it('are renewed by two connections of their owner at once', async () => {
    const rig = await open();
    const [one, two] = [user(rig, 'ada'), user(rig, 'ada')];
    const { lease_id, token } = await rig.run(one, 'op.lease.acquire', { keys: ['a'], ...LONG });
    const renewed = await Promise.all([one, two].map((each) => rig.run(each, 'op.lease.renew', { lease_id })));
    expect(renewed).toMatchObject([{ token }, { token }]);
  });

  it('are not renewed by a token that no longer covers their keys', async () => {
    const rig = await open();
    const ada = user(rig, 'ada', { store_write: ['lease/*'] });
    const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
    ada.principal = ownerOf({ role: 'user', subject: 'ada', grants: { store_write: ['lease/b'] } });
    expect((await rig.refused(ada, 'op.lease.renew', { lease_id })).code).toBe('AUTHORIZATION_ERROR');
    await rig.run(ada, 'op.lease.release', { lease_id });
  });

  it('of a node that died end with their time', async () => {
    const clock = new FakeClock();
    const backend = new SharedBackend(clock);
    await backend.open();
    onEnd(() => backend.close());
    const [dying, other] = [backend.node(), backend.node()];
    const a = await openLeaseRig(dying.engine, 'node-a', { clock });
    const b = await openLeaseRig(other.engine, 'node-b', { clock });
    const { token } = await a.run(user(a, 'ada'), 'op.lease.acquire', { keys: ['k'], ttl_seconds: 30 });
    dying.die();
    const bob = user(b, 'bob');
    expect((await b.refused(bob, 'op.lease.acquire', { keys: ['k'], ...LONG })).code).toBe('CONFLICT');
    clock.advance(31_000);
    expect((await b.run(bob, 'op.lease.acquire', { keys: ['k'], ...LONG })).token).toBeGreaterThan(token);
  });

  it('leave no key behind when they end by themselves', async () => {
    const clock = new FakeClock();
    const engine = createMemoryEngine({ now: () => clock.now() });
    const rig = await openLeaseRig(engine, 'node-a', { clock, maxKeys: 2 });
    const ada = user(rig, 'ada');
    await rig.run(ada, 'op.lease.acquire', { keys: ['a', 'b'], ttl_seconds: 5 });
    clock.advance(6_000);
    const left = async () => (await engine.store.list(KEY_SPACE, { limit: 9 })).length;
    // The store tells of the end when it looks.
    await engine.store.get(LEASE_SPACE, 'any');
    await expect.poll(left, { timeout: 10_000 }).toBe(0);
    await rig.run(ada, 'op.lease.acquire', { keys: ['c', 'd'], ttl_seconds: 5 });
  });
});
