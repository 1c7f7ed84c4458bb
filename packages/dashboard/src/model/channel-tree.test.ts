import type { ChannelSummary } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { ChannelRates, treeOf } from './channel-tree.ts';

function channel(name: string, more: Partial<ChannelSummary> = {}): ChannelSummary {
  const [room = '', of = ''] = name.split(':');
  return { room, channel: of, members: 0, created_at: '', type: 'standard', hardcoded: false, ...more };
}

describe('the rates of channels', () => {
  it('are how their sequences grew since the list before', () => {
    const rates = new ChannelRates();
    const at = (sequence: number) => channel('a:b', { sequence });
    expect(rates.take([at(10)], 1_000).size).toBe(0);
    expect(rates.take([at(40)], 4_000).get('a:b')).toBe(10);
    expect(rates.take([at(40), channel('a:c', { sequence: 9 })], 5_000)).toEqual(new Map([['a:b', 0]]));
    // Dropped and made anew, then a storage that is away, then a list without it.
    expect(rates.take([at(2)], 6_000).size).toBe(0);
    expect(rates.take([channel('a:b')], 7_000).size).toBe(0);
    expect(rates.take([at(9)], 8_000).size).toBe(0);
    expect(rates.take([at(9)], 8_000).size).toBe(0);
  });
});

describe('the tree of channels', () => {
  const list = [
    channel('a:one', { bytes: 10, members: 3 }),
    channel('a:two', { bytes: 500 }),
    channel('b:one', { bytes: 900 }),
    channel('c:one'),
  ];
  const shape = (order: Parameters<typeof treeOf>[2]) =>
    treeOf(list, new Map(), order).map(({ room, channels }) => [room, ...channels.map((one) => one.channel)].join(' '));

  it('is by name, or has the largest first', () => {
    expect(shape('name')).toEqual(['a one two', 'b one', 'c one']);
    expect(shape('bytes')).toEqual(['b one', 'a two one', 'c one']);
    expect(shape('members')).toEqual(['a one two', 'b one', 'c one']);
  });

  it('sums up what is known of a room', () => {
    const rates = new Map([['a:one', 2.5]]);
    expect(treeOf(list, rates, 'name').map(({ bytes, rate }) => [bytes, rate])).toEqual([
      [510, 2.5],
      [900, undefined],
      [undefined, undefined],
    ]);
  });
});
