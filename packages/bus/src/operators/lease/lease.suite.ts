import { describe, expect, it } from 'vitest';
import type { Session } from '../../connection/session.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Operator } from '../operator.ts';
import { BusRig, type Who } from '../rig.suite.ts';
import { createLeaseOperator } from './lease.ts';
import type { LeaseOptions } from './leases.ts';

type Rig = BusRig<Operator>;

export function openLeaseRig(engine: Engine, node: string, options: LeaseOptions = {}): Promise<Rig> {
  return new BusRig<Operator>(engine, (bus) => createLeaseOperator(bus, options), { node }).start();
}

/** A user, whose grants are null unless given. */
export function user(rig: Rig, subject: string, grants?: Who['grants']): Session {
  return rig.connect({
    role: 'user',
    subject,
    ...(grants === undefined ? {} : { grants }),
  });
}

function close(rig: Rig, session: Session): void {
  rig.bus.closeSession(session, 1000, 'done');
}

const LONG = { ttl_seconds: 300 };
const SHORT = { ttl_seconds: 1 };
const PATIENT = { wait_ms: 30_000 };

/**
 * What leases promise, on any engine.
 *
 * @param engines fresh engines, not open yet, on one fresh backend: one for each node
 */
export function leaseSuite(name: string, engines: (nodes: readonly string[]) => Promise<readonly Engine[]>): void {
  describe(`op.lease on ${name}`, () => {
    const open = async (options: LeaseOptions = {}): Promise<Rig> => {
      const [engine] = await engines(['node-a']);
      return openLeaseRig(engine as Engine, 'node-a', options);
    };

    it('gives all keys or none, and says which is leased until when', async () => {
      const rig = await open();
      const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
      const first = await rig.run(ada, 'op.lease.acquire', { keys: ['b', 'a', 'b'], ...LONG });
      expect(first.keys).toEqual(['a', 'b']);
      const refused = await rig.refused(bob, 'op.lease.acquire', { keys: ['c', 'b'], ...LONG });
      expect(refused).toMatchObject({ code: 'CONFLICT', details: { key: 'b', expires_at: first.expires_at } });
      // Nothing of it was kept.
      const second = await rig.run(bob, 'op.lease.acquire', { keys: ['c'], ...LONG });
      expect(second.token).toBeGreaterThan(first.token);
      expect(await rig.run(ada, 'op.lease.release', { lease_id: first.lease_id })).toEqual({
        released: true,
        lease_id: first.lease_id,
      });
      const third = await rig.run(bob, 'op.lease.acquire', { keys: ['a', 'b'], ...LONG });
      expect(third.token).toBeGreaterThan(second.token);
      // Another namespace and another tenant have keys of their own.
      await rig.run(ada, 'op.lease.acquire', { keys: ['a'], namespace: 'other', ...LONG });
      await rig.run(rig.connect({ tenant: 'acme' }), 'op.lease.acquire', { keys: ['a'], ...LONG });
    });

    it('waits for keys until they are released, or until its time is over', async () => {
      const rig = await open();
      const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
      const { lease_id, token } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...LONG });
      const late = await rig.refused(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, wait_ms: 50 });
      expect(late).toMatchObject({ code: 'CONFLICT', details: { key: 'a' } });
      const waiting = rig.run(bob, 'op.lease.acquire', { keys: ['a', 'b'], ...LONG, ...PATIENT });
      await rig.run(ada, 'op.lease.release', { lease_id });
      expect((await waiting).token).toBeGreaterThan(token);
    });

    it('ends when its time is over: then it cannot be renewed or released, and somebody else has a larger token', async () => {
      const rig = await open();
      const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
      const { lease_id, token } = await rig.run(ada, 'op.lease.acquire', { keys: ['a'], ...SHORT });
      const taken = await rig.run(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, ...PATIENT });
      expect(taken.token).toBeGreaterThan(token);
      for (const command of ['op.lease.renew', 'op.lease.release'] as const) {
        expect((await rig.refused(ada, command, { lease_id })).code).toBe('LEASE_LOST');
      }
      const { leases } = await rig.run(bob, 'op.lease.list', {});
      expect(leases).toMatchObject([{ lease_id: taken.lease_id, is_own: true, subject: 'bob', keys: ['a'] }]);
    });

    it('lasts on when it is renewed, for another time too', async () => {
      const rig = await open();
      const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
      const lease = await rig.run(ada, 'op.lease.acquire', { keys: ['a', 'b'], ...SHORT });
      // Longer than its keys name it: they are written anew.
      const renewed = await rig.run(ada, 'op.lease.renew', { lease_id: lease.lease_id, ttl_seconds: 80_000 });
      expect(renewed).toMatchObject({ lease_id: lease.lease_id, token: lease.token });
      expect(Date.parse(renewed.expires_at)).toBeGreaterThan(Date.parse(lease.expires_at) + 79_000_000);
      const waited = await rig.refused(bob, 'op.lease.acquire', { keys: ['b'], ...LONG, wait_ms: 1_500 });
      expect(waited).toMatchObject({ code: 'CONFLICT', details: { expires_at: renewed.expires_at } });
      const again = await rig.run(ada, 'op.lease.renew', { lease_id: lease.lease_id });
      expect(Date.parse(again.expires_at)).toBeGreaterThanOrEqual(Date.parse(renewed.expires_at));
    });

    it('is released with the last connection of its owner, unless it is to be kept', async () => {
      const rig = await open();
      const [first, second, bob] = [user(rig, 'ada'), user(rig, 'ada'), user(rig, 'bob')];
      await rig.run(first, 'op.lease.acquire', { keys: ['a'], ...LONG });
      await rig.run(first, 'op.lease.acquire', { keys: ['kept'], ...LONG, keep: true });
      close(rig, first);
      expect((await rig.refused(bob, 'op.lease.acquire', { keys: ['a'], ...LONG })).code).toBe('CONFLICT');
      const waiting = rig.run(bob, 'op.lease.acquire', { keys: ['a'], ...LONG, ...PATIENT });
      close(rig, second);
      await waiting;
      expect((await rig.refused(bob, 'op.lease.acquire', { keys: ['kept'], ...LONG })).code).toBe('CONFLICT');
    });

    it('gives overlapping sets to one at a time, to everybody in the end, with growing tokens', async () => {
      const rig = await open();
      const holders = new Map<string, number>();
      const last = new Map<string, number>();
      const work = async (worker: number): Promise<void> => {
        const session = user(rig, `worker-${worker}`);
        for (let round = 0; round < 5; round += 1) {
          const keys = [0, 1, 2].map((n) => `k${(worker * 3 + round * (n + 1)) % 5}`);
          const lease = await rig.run(session, 'op.lease.acquire', { keys, ...LONG, ...PATIENT });
          for (const key of lease.keys) {
            expect(holders.get(key), key).toBeUndefined();
            expect(lease.token).toBeGreaterThan(last.get(key) ?? 0);
            holders.set(key, worker);
            last.set(key, lease.token);
          }
          await new Promise((resolve) => setImmediate(resolve));
          for (const key of lease.keys) holders.delete(key);
          await rig.run(session, 'op.lease.release', { lease_id: lease.lease_id });
        }
      };
      await Promise.all(Array.from({ length: 6 }, (_, worker) => work(worker)));
      expect(last.size).toBe(5);
    }, 120_000);

    it('holds quotas, which a release frees', async () => {
      const rig = await open({ maxKeysPerSubject: 2, maxKeys: 3 });
      const [ada, bob] = [user(rig, 'ada'), user(rig, 'bob')];
      const { lease_id } = await rig.run(ada, 'op.lease.acquire', { keys: ['a', 'b'], ...LONG });
      const over = await rig.refused(ada, 'op.lease.acquire', { keys: ['c'], ...LONG });
      expect(over).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 2, quota: 'owner_keys' } });
      const most = await rig.refused(bob, 'op.lease.acquire', { keys: ['c', 'd'], ...LONG });
      expect(most).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 3, quota: 'tenant_keys' } });
      // What was refused has left nothing behind.
      await rig.run(bob, 'op.lease.acquire', { keys: ['d'], ...LONG });
      await rig.run(ada, 'op.lease.release', { lease_id });
      await rig.run(ada, 'op.lease.acquire', { keys: ['c'], ...LONG });
    });
  });
}

/** What leases promise on two nodes of one backend. */
export function leaseClusterSuite(
  name: string,
  engines: (nodes: readonly string[]) => Promise<readonly Engine[]>,
): void {
  describe(`op.lease on two nodes of ${name}`, () => {
    const open = async (): Promise<[Rig, Rig]> => {
      const [a, b] = await engines(['node-a', 'node-b']);
      return [await openLeaseRig(a as Engine, 'node-a'), await openLeaseRig(b as Engine, 'node-b')];
    };

    it('is one lease on both: held, waited for, renewed and released from either', async () => {
      const [a, b] = await open();
      const [ada, elsewhere, bob] = [user(a, 'ada'), user(b, 'ada'), user(b, 'bob')];
      const { lease_id, token } = await a.run(ada, 'op.lease.acquire', { keys: ['k'], ...LONG });
      expect((await b.refused(bob, 'op.lease.acquire', { keys: ['k'], ...LONG })).code).toBe('CONFLICT');
      const waiting = b.run(bob, 'op.lease.acquire', { keys: ['k'], ...LONG, ...PATIENT });
      expect(await b.run(elsewhere, 'op.lease.renew', { lease_id })).toMatchObject({ token });
      await a.run(ada, 'op.lease.release', { lease_id });
      const taken = await waiting;
      expect(taken.token).toBeGreaterThan(token);
      expect((await a.refused(ada, 'op.lease.renew', { lease_id })).code).toBe('LEASE_LOST');
    });

    it('gives overlapping sets to one at a time', async () => {
      const nodes = await open();
      const last = new Map<string, number>();
      const holders = new Map<string, number>();
      const work = async (worker: number): Promise<void> => {
        const rig = nodes[worker % 2] as Rig;
        const session = user(rig, `worker-${worker}`);
        for (let round = 0; round < 4; round += 1) {
          const keys = [`k${(worker + round) % 3}`, `k${(worker + round + 1) % 3}`];
          const lease = await rig.run(session, 'op.lease.acquire', { keys, ...LONG, ...PATIENT });
          for (const key of lease.keys) {
            expect(holders.get(key), key).toBeUndefined();
            expect(lease.token).toBeGreaterThan(last.get(key) ?? 0);
            holders.set(key, worker);
            last.set(key, lease.token);
          }
          await new Promise((resolve) => setImmediate(resolve));
          for (const key of lease.keys) holders.delete(key);
          await rig.run(session, 'op.lease.release', { lease_id: lease.lease_id });
        }
      };
      await Promise.all([0, 1, 2, 3].map(work));
    }, 120_000);
  });
}
