import { type BusError, encode, type Metadata } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { Hops, withHops } from './hops.ts';

const noRule = (): null => null;

function chain(hops: Hops, length: number, tenant = 't'): void {
  for (let n = 1; n <= length; n++) hops.count(tenant, { id: `arq_${n}`, requestId: `arq_${n - 1}` }, noRule);
}

describe('Hops', () => {
  it('counts causes, whichever way they are told, and refuses the one over the limit with the chain', () => {
    const hops = new Hops(3);
    expect(hops.count('t', { id: 'arq_0' }, noRule)).toBeNull();
    expect(hops.count('t', { id: 'arq_1', metadata: { causal_parent_id: 'arq_0' } }, noRule)?.hops).toBe(1);
    expect(hops.count('t', { id: 'arq_2', requestId: 'arq_1' }, noRule)?.hops).toBe(2);
    const both = { id: 'arq_3', metadata: { causal_parent_id: 'arq_0' }, requestId: 'arq_2' };
    expect(hops.count('t', both, noRule)).toEqual({ hops: 3, parent: 'arq_2' });
    expect(() => hops.count('t', { id: 'arq_4', requestId: 'arq_3' }, noRule)).toThrowError(
      expect.objectContaining({
        code: 'LOOP_DETECTED',
        details: { hops: 4, limit: 3, chain: ['arq_3', 'arq_2', 'arq_1', 'arq_0'] },
      }),
    );
  });

  it('names a chain of the usual limit to its first message, and of a longer one the last ones', () => {
    const told = (limit: number): unknown[] => {
      const hops = new Hops(limit);
      chain(hops, limit);
      try {
        hops.count('t', { id: 'arq_over', requestId: `arq_${limit}` }, noRule);
      } catch (error) {
        return (error as BusError).details.chain as unknown[];
      }
      throw new Error('it was not refused');
    };
    expect(told(64)).toEqual(Array.from({ length: 65 }, (_, n) => `arq_${64 - n}`));
    expect(told(100)).toEqual(Array.from({ length: 65 }, (_, n) => `arq_${100 - n}`));
  });

  it('obeys a rule before the limit of the bus', () => {
    const hops = new Hops(3);
    chain(hops, 3);
    expect(hops.count('t', { id: 'arq_4', requestId: 'arq_3' }, () => 5)?.hops).toBe(4);
    expect(() => hops.count('t', { id: 'arq_x', requestId: 'arq_1' }, () => 1)).toThrow('2 of a chain');
  });

  it('does not let an id that comes again get nearer to the beginning, nor tenants see each other', () => {
    const hops = new Hops(64);
    chain(hops, 5);
    hops.count('t', { id: 'arq_5', requestId: 'arq_unknown' }, noRule);
    expect(hops.count('t', { id: 'arq_6', requestId: 'arq_5' }, noRule)?.hops).toBe(6);
    expect(hops.count('other', { id: 'arq_6', requestId: 'arq_5' }, noRule)?.hops).toBe(1);
  });

  it('learns from the end of an envelope, which no client writes', () => {
    const hops = new Hops(64);
    const told = (id: string, tail: Metadata): string => encode({ id, type: 'private', payload: {}, metadata: tail });
    hops.learn('t', told('arq_a', { causal_parent_id: 'arq_0', hops: 7 }));
    expect(hops.count('t', { id: 'arq_b', requestId: 'arq_a' }, noRule)?.hops).toBe(8);
    hops.learn('t', told('arq_c', { sender: { name: '"hops":9}}', type: 'service', role: 'user' } }));
    hops.learn('t', encode({ id: 'arq_c', type: 'event', payload: { x: { hops: 9 } }, metadata: { own: 1 } as never }));
    expect(hops.count('t', { id: 'arq_d', requestId: 'arq_c' }, noRule)?.hops).toBe(1);
    expect(withHops('"sender":{}', { hops: 2, parent: 'arq_a' })).toBe('"sender":{},"hops":2');
  });

  it('remembers so many of a tenant and of tenants, the last ones', () => {
    const hops = new Hops(1_000_000);
    chain(hops, 10_500);
    expect(hops.size).toBe(10_000);
    expect(hops.count('t', { id: 'arq_next', requestId: 'arq_10500' }, noRule)?.hops).toBe(10_501);
    for (let n = 0; n < 150; n++) chain(hops, 1, `tenant-${n}`);
    expect(hops.size).toBe(100);
  });
});
