import { BusError, type CommandResult } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Sender, Session } from '../../connection/session.ts';
import type { QuotaLimit, SetOptions } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import { BusRig, ownerOf, RecordingWire, turn, type Who } from '../rig.suite.ts';
import { rangesOf } from './listing.ts';
import { DEFAULT_STORE_LIMITS, type StoreLimits } from './space.ts';
import { createStoreOperator, type StoreOperator } from './store.ts';

class Rig extends BusRig<StoreOperator> {
  constructor(limits: Partial<StoreLimits>) {
    super(createMemoryEngine(), (bus) => createStoreOperator(bus, limits));
  }

  user(grants?: Who['grants'], wire?: RecordingWire): Session {
    return this.connect({ role: 'user', ...(grants === undefined ? {} : { grants }) }, wire);
  }

  set(sender: Sender, key: string, value: unknown = 1): Promise<CommandResult<'op.store.set'>> {
    return this.run(sender, 'op.store.set', { key, value });
  }

  list(sender: Sender, args: object = {}): Promise<CommandResult<'op.store.list'>> {
    return this.run(sender, 'op.store.list', args);
  }

  /** All pages together. */
  async all(sender: Sender, args: object = {}): Promise<{ keys: string[]; pages: number }> {
    const keys: string[] = [];
    for (let pages = 1, after: string | undefined; ; pages += 1) {
      const page = await this.list(sender, { ...args, ...(after === undefined ? {} : { after }) });
      keys.push(...page.keys);
      if (page.next === undefined) return { keys, pages };
      after = page.next;
    }
  }
}

function open(limits: Partial<StoreLimits> = {}): Promise<Rig> {
  return new Rig({ maxKeys: 100_000, maxKeysPerSubject: 100_000, ...limits }).start();
}

describe('grants in the store', () => {
  it('close it to a token that lists others', async () => {
    const rig = await open();
    await rig.set(rig.user(), 'k');
    const none = rig.user({ publish: ['*:*'], subscribe: ['*:*'] });
    for (const [name, args] of [
      ['get', { key: 'k' }],
      ['set', { key: 'k', value: 2 }],
      ['delete', { key: 'k' }],
      ['list', {}],
      ['watch', {}],
    ] as const) {
      expect((await rig.refused(none, `op.store.${name}`, args)).code).toBe('AUTHORIZATION_ERROR');
    }
    expect(await rig.run(rig.user(), 'op.store.get', { key: 'k' })).toMatchObject({ value: 1, version: 1 });
    expect(rig.operator.counts.refused).toBe(3);
  });

  it('tell reading from writing, and namespaces and keys apart', async () => {
    const rig = await open();
    const reader = rig.user({ store_read: ['default/a/*', 'other/*'] });
    const writer = rig.user({ store_write: ['default/a/*'] });
    await rig.set(writer, 'a/1');
    expect(await rig.run(reader, 'op.store.get', { key: 'a/1' })).toMatchObject({ found: true });
    expect(await rig.run(reader, 'op.store.get', { key: 'a/1', namespace: 'other' })).toEqual({ found: false });
    for (const [sender, name, args] of [
      [reader, 'op.store.get', { key: 'b/1' }],
      [reader, 'op.store.set', { key: 'a/1', value: 2 }],
      [reader, 'op.store.delete', { key: 'a/1' }],
      [writer, 'op.store.get', { key: 'a/1' }],
      [writer, 'op.store.set', { key: 'b/1', value: 2 }],
      [writer, 'op.store.set', { key: 'a/1', value: 2, namespace: 'other' }],
      [writer, 'op.store.list', {}],
    ] as const) {
      expect(await rig.refused(sender, name, args)).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    }
  });

  it('are asked of admins too', async () => {
    const rig = await open();
    const admin = rig.connect({ grants: { publish: ['*:*'] } });
    expect((await rig.refused(admin, 'op.store.get', { key: 'k' })).code).toBe('AUTHORIZATION_ERROR');
  });

  it('list what they cover, in pages that pass over the rest and never name it', async () => {
    const rig = await open();
    const all = rig.user();
    for (let n = 0; n < 1_200; n += 1)
      await rig.set(all, `k${String(n).padStart(4, '0')}${n % 100 === 0 ? '/mine' : ''}`);
    const some = rig.user({ store_read: ['*/mine'] });
    const mine = Array.from({ length: 12 }, (_, n) => `k${String(n * 100).padStart(4, '0')}/mine`);
    expect(await rig.list(some)).toEqual({ keys: mine, count: 12 });
    expect(await rig.list(some, { limit: 5 })).toEqual({ keys: mine.slice(0, 5), count: 5, next: mine[4] });
    expect(await rig.all(some, { limit: 5 })).toEqual({ keys: mine, pages: 3 });
    expect(await rig.list(some, { prefix: 'k05' })).toMatchObject({ keys: ['k0500/mine'] });
    expect((await rig.all(all)).keys).toHaveLength(1_200);
  });

  it('look at a bounded number of keys in one call', async () => {
    const rig = await open();
    const all = rig.user();
    for (let n = 0; n < 10_100; n += 1) await rig.set(all, `k${String(n).padStart(5, '0')}`);
    await rig.set(all, 'k00000/mine');
    await rig.set(all, 'z/mine');
    const some = rig.user({ store_read: ['*/mine'] });
    const first = await rig.list(some);
    expect(first).toEqual({ keys: ['k00000/mine'], count: 1, next: 'k00000/mine' });
    expect(await rig.refused(some, 'op.store.list', { after: first.next })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { field: 'prefix', limit: 10_000 },
    });
    expect(await rig.list(some, { prefix: 'z' })).toEqual({ keys: ['z/mine'], count: 1 });
  });

  it('let others have their turn while keys are passed over', async () => {
    const rig = await open();
    const all = rig.user();
    for (let n = 0; n < 5_000; n += 1) await rig.set(all, `k${n}`);
    const patterns = Array.from({ length: 100 }, (_, n) => `*${'ab*'.repeat(20)}${n}`);
    const listed = rig.list(rig.user({ store_read: patterns }));
    let turns = 0;
    let isDone = false;
    listed.finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await turn();
      turns += 1;
    }
    expect(turns).toBeGreaterThan(2);
    expect(await listed).toEqual({ keys: [], count: 0 });
  });

  it('narrow down where keys are looked for', () => {
    const ranges = (patterns: string[], prefix = ''): string[] =>
      rangesOf(ownerOf({ grants: { store_read: patterns } }), 'home', prefix);
    expect(rangesOf(ownerOf({}), 'home', 'x')).toEqual(['x']);
    expect(ranges(['home/b/*', 'home/a', 'other/*'])).toEqual(['a', 'b/']);
    expect(ranges(['home/a*', 'home/ab*', 'home/a'])).toEqual(['a']);
    expect(ranges(['home/b/*', '*/x'])).toEqual(['']);
    expect(ranges(['ho*'], 'p')).toEqual(['p']);
    expect(ranges(['home/abc*', 'home/abd*', 'home/b*'], 'ab')).toEqual(['abc', 'abd']);
    expect(ranges(['home/a*'], 'abc')).toEqual(['abc']);
    expect(ranges(['home/a*'], 'b')).toEqual([]);
    for (const patterns of [[], ['other/*'], ['home'], ['home2/*']]) {
      expect(() => ranges(patterns)).toThrow(BusError);
    }
  });
});

describe('a watch', () => {
  const changes = (wire: RecordingWire): unknown[] =>
    wire.envelopes.filter(({ payload }) => payload?.event === 'store_changed').map(({ payload }) => payload?.key);

  it('tells what its token allows at each change', async () => {
    const rig = await open();
    const wire = new RecordingWire();
    const watcher = rig.user({ store_read: ['default/a*'] }, wire);
    const writer = rig.user();
    await rig.run(watcher, 'op.store.watch', {});
    const told = async (...keys: string[]): Promise<unknown[]> => {
      for (const key of keys) await rig.set(writer, key);
      await turn();
      return changes(wire);
    };
    expect(await told('a1', 'b1')).toEqual(['a1']);
    watcher.principal = ownerOf({ role: 'user', grants: { store_read: ['default/b*'] } });
    expect(await told('a2', 'b2')).toEqual(['a1', 'b2']);
    watcher.principal = ownerOf({ role: 'guest' });
    expect(await told('a3', 'b3')).toEqual(['a1', 'b2']);
    watcher.principal = ownerOf({ role: 'user' });
    expect(await told('a4')).toEqual(['a1', 'b2', 'a4']);
  });

  it('ends with its connection, and is one of a hundred', async () => {
    const rig = await open();
    const watcher = rig.user();
    for (let n = 0; n < 100; n += 1)
      await rig.run(watcher, 'op.store.watch', { namespace: `n${n % 7}`, prefix: `p${n}` });
    expect(await rig.refused(watcher, 'op.store.watch', { prefix: 'more' })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 100 },
    });
    await rig.run(watcher, 'op.store.watch', { namespace: 'n0', prefix: 'p0' });
    expect(await rig.run(watcher, 'op.store.unwatch', { namespace: 'n0', prefix: 'p0' })).toMatchObject({
      removed: true,
    });
    await rig.run(watcher, 'op.store.watch', { prefix: 'more' });
    rig.bus.disconnect(watcher, 'gone');
    await rig.set(rig.user(), 'more');
    expect(rig.faults).toEqual([]);
  });
});

describe('one answer', () => {
  it('is at most a mebibyte, values and all, and goes on with the next', async () => {
    const rig = await open({ maxValueBytes: 400_000 });
    const user = rig.user();
    for (let n = 0; n < 7; n += 1) await rig.set(user, `k${n}`, 'x'.repeat(300_000));
    const page = await rig.list(user, { values: true });
    expect(page).toMatchObject({ keys: ['k0', 'k1', 'k2'], count: 3, next: 'k2' });
    expect(page.entries?.map(({ key, version, value }) => [key, version, String(value).length])).toEqual([
      ['k0', 1, 300_000],
      ['k1', 2, 300_000],
      ['k2', 3, 300_000],
    ]);
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1_048_576);
    expect((await rig.all(user, { values: true })).keys).toHaveLength(7);
    expect((await rig.list(user)).count).toBe(7);
  });

  it('has at most 500 keys, which stay below that however they are written', async () => {
    const rig = await open();
    const user = rig.user();
    const strange = '\u0001'.repeat(250);
    for (let n = 0; n < 900; n += 1) await rig.set(user, `${strange}${n}`);
    const page = await rig.list(user, { limit: 500 });
    expect(page.count).toBe(500);
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1_048_576);
    expect((await rig.all(user, { limit: 500 })).keys).toHaveLength(900);
    const valued = await rig.list(user, { limit: 500, values: true });
    expect(valued.count).toBeLessThan(500);
    expect(Buffer.byteLength(JSON.stringify(valued))).toBeLessThan(1_048_576);
    expect(await rig.refused(user, 'op.store.list', { limit: 501 })).toMatchObject({ details: { field: 'limit' } });
  });

  it('shows when a value expires', async () => {
    const rig = await open();
    const user = rig.user();
    await rig.run(user, 'op.store.set', { key: 'k', value: null, ttl_seconds: 60 });
    const { entries } = await rig.list(user, { values: true });
    expect(entries).toEqual([{ key: 'k', value: null, version: 1, expires_at: expect.stringMatching(/Z$/) }]);
  });
});

describe('how much may be stored', () => {
  it('is told to the engine with each set, under the identity that pays', async () => {
    const rig = await new Rig({}).start();
    const { store } = rig.bus.engine;
    const seen: (SetOptions | undefined)[] = [];
    const { set } = store;
    store.set = (at, key, value, options) => {
      if (at.space === 'store') seen.push(options);
      return set.call(store, at, key, value, options);
    };
    const ada = rig.connect({ role: 'user', subject: 'ada' });
    await rig.set(ada, 'k');
    const { maxKeys, maxBytes, maxKeysPerSubject, maxBytesPerSubject } = DEFAULT_STORE_LIMITS;
    expect([maxKeysPerSubject, maxBytesPerSubject, maxKeys, maxBytes]).toEqual([2_000, 8_388_608, 10_000, 67_108_864]);
    expect(seen).toEqual([
      {
        quota: {
          owner: ada.identity,
          ownerKeys: maxKeysPerSubject,
          ownerBytes: maxBytesPerSubject,
          tenantKeys: maxKeys,
          tenantBytes: maxBytes,
        },
      },
    ]);
  });

  it.each<[QuotaLimit, number, RegExp]>([
    ['owner_keys', 2_000, /You hold the 2000 keys .*MAX_KEYS_PER_SUBJECT.*; delete some/],
    ['owner_bytes', 8_388_608, /Your keys and values fill the 8388608 bytes .*MAX_BYTES_PER_SUBJECT/],
    ['tenant_keys', 10_000, /The tenant holds the 10000 keys .*MAX_KEYS_PER_TENANT/],
    ['tenant_bytes', 67_108_864, /The tenant's keys and values fill the 67108864 bytes .*MAX_BYTES_PER_TENANT/],
  ])('says %s when that is what is full', async (limit, bound, message) => {
    const rig = await new Rig({}).start();
    rig.bus.engine.store.set = () => ({ ok: false, reason: 'full', limit });
    expect(await rig.refused(rig.user(), 'op.store.set', { key: 'k', value: 1 })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: bound, quota: limit },
      message: expect.stringMatching(message),
    });
    expect(rig.operator.counts.over_quota).toBe(1);
  });
});
