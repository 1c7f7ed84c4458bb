import { describe, expect, it } from 'vitest';
import type { KeyValueStore } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { turn } from '../operators/rig.suite.ts';
import { NodeLeases } from './leases-of-nodes.ts';

const OPTIONS = { space: 'lease', leaseMs: 15_000, renewalMs: 5_000 };

interface Node {
  readonly leases: NodeLeases;
  readonly log: string[];
  /** Whether the store answers this node. */
  away: boolean;
  /** Answers of the store that are on their way; null: they come at once. */
  late: (() => void)[] | null;
}

function nodeOn(name: string, store: KeyValueStore, clock: FakeClock): Node {
  const node = { log: [] as string[], away: false, late: null as (() => void)[] | null };
  const flaky: KeyValueStore = {
    get: (at, key) => store.get(at, key),
    set: async (at, key, value, options) => {
      if (node.away) throw new Error('away');
      const outcome = await store.set(at, key, value, options);
      await new Promise<void>((resolve) => (node.late === null ? resolve() : node.late.push(resolve)));
      return outcome;
    },
    delete: (at, key, ifVersion) => store.delete(at, key, ifVersion),
    list: (at, query) => store.list(at, query),
    spaces: () => store.spaces(),
    tenants: (space) => store.tenants(space),
    watch: (space, onChange) => store.watch(space, (change) => node.away || onChange(change)),
  };
  const leases = new NodeLeases(flaky, name, clock, OPTIONS, {
    onGained: (tenant, key) => node.log.push(`gained ${tenant}/${key}`),
    onKept: (tenant, key) => node.log.push(`kept ${tenant}/${key}`),
    onLost: (tenant, key) => node.log.push(`lost ${tenant}/${key}`),
    onHolder: (tenant, key, holder) => node.log.push(`${holder} holds ${tenant}/${key}`),
    onFault: () => {},
  });
  leases.start();
  return Object.assign(node, { leases });
}

async function openNodes(): Promise<{ clock: FakeClock; one: Node; other: Node }> {
  const clock = new FakeClock();
  const { store } = createMemoryEngine({ now: () => clock.now() });
  const [one, other] = [nodeOn('one', store, clock), nodeOn('other', store, clock)];
  for (const { leases } of [one, other]) {
    leases.want('alpha', 'a');
    await turn();
  }
  return { clock, one, other };
}

async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    clock.advance(1_000);
    await turn();
  }
}

function holders({ one, other }: { one: Node; other: Node }): boolean[] {
  return [one, other].map(({ leases }) => leases.holds('alpha', 'a'));
}

describe('the leases of nodes', () => {
  it('have one holder, which stays it', async () => {
    const nodes = await openNodes();
    expect(holders(nodes)).toEqual([true, false]);
    await pass(nodes.clock, 120_000);
    expect(holders(nodes)).toEqual([true, false]);
    expect([nodes.one.log, nodes.other.log]).toEqual([['gained alpha/a'], ['one holds alpha/a']]);
    expect(nodes.one.leases.holds('beta', 'a')).toBe(false);
  });

  it('pass on at once when they are given back', async () => {
    const nodes = await openNodes();
    await nodes.one.leases.stop();
    await turn();
    expect(holders(nodes)).toEqual([false, true]);
  });

  it('run out with a holder that the store does not hear, which then knows it too', async () => {
    const nodes = await openNodes();
    nodes.one.away = true;
    await pass(nodes.clock, 14_000);
    expect(holders(nodes)).toEqual([true, false]);
    await pass(nodes.clock, 6_000);
    expect(holders(nodes)).toEqual([false, true]);
    // It comes back with a version that was its own once; long before the new holder has written as often.
    nodes.one.away = false;
    await pass(nodes.clock, 60_000);
    expect(holders(nodes)).toEqual([false, true]);
    expect(nodes.one.log).toEqual(['gained alpha/a', 'lost alpha/a', 'other holds alpha/a']);
  });

  it('are no longer held when their time is over, and are again when a renewal made in time is told late', async () => {
    const nodes = await openNodes();
    nodes.one.late = [];
    await pass(nodes.clock, 16_000);
    expect(holders(nodes)).toEqual([false, false]);
    for (const answer of nodes.one.late) answer();
    await turn();
    expect([holders(nodes), nodes.one.log]).toEqual([
      [true, false],
      ['gained alpha/a', 'kept alpha/a'],
    ]);
  });

  it('are not taken back by a version that another holder has reached meanwhile', async () => {
    const nodes = await openNodes();
    await pass(nodes.clock, 10_000);
    nodes.one.away = true;
    // Longer than the lease, so that the other one writes under the versions that this one wrote before.
    await pass(nodes.clock, 15_000);
    for (let seconds = 0; seconds < 40; seconds += 1) {
      nodes.one.away = seconds % 2 === 0;
      await pass(nodes.clock, 1_000);
      expect(holders(nodes).filter((held) => held).length).toBeLessThanOrEqual(1);
    }
    expect(holders(nodes)).toEqual([false, true]);
  });

  it('are given back when they come after nobody wants them any more', async () => {
    const clock = new FakeClock();
    const { store } = createMemoryEngine({ now: () => clock.now() });
    const { leases, log } = nodeOn('one', store, clock);
    leases.want('alpha', 'a');
    await leases.release('alpha', 'a');
    await turn();
    expect(leases.holds('alpha', 'a')).toBe(false);
    expect(log).toEqual([]);
    expect(await store.tenants('lease')).toEqual([]);
  });
});
