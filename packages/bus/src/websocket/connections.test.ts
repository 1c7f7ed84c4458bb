import { describe, expect, it } from 'vitest';
import { Connections } from './connections.ts';

function limited(maxConnections: number, maxConnectionsPerAddress: number, maxConnectionsPerSubject = 0): Connections {
  return new Connections({ maxConnections, maxConnectionsPerAddress, maxConnectionsPerSubject });
}

describe('Connections', () => {
  it('stops at the total and goes on when one leaves', () => {
    const counter = limited(2, 0);
    expect([counter.add('10.0.0.1'), counter.add('10.0.0.1'), counter.add('10.0.0.2')]).toEqual([null, null, 'total']);
    counter.remove('10.0.0.1');
    expect(counter.add('10.0.0.2')).toBeNull();
    expect(counter.total).toBe(2);
  });

  it('stops one address and not another', () => {
    const counter = limited(100, 1);
    expect([counter.add('10.0.0.1'), counter.add('10.0.0.1'), counter.add('10.0.0.2')]).toEqual([
      null,
      'address',
      null,
    ]);
    expect(counter.total).toBe(2);
    counter.remove('10.0.0.1');
    expect(counter.add('10.0.0.1')).toBeNull();
  });

  it('remembers only addresses that are connected', () => {
    const counter = limited(100, 2);
    for (const address of ['10.0.0.1', '10.0.0.1', '10.0.0.2']) counter.add(address);
    expect(counter.addresses).toBe(2);
    for (const address of ['10.0.0.1', '10.0.0.1', '10.0.0.2']) counter.remove(address);
    expect([counter.addresses, counter.total]).toEqual([0, 0]);
  });

  it.each([
    ['10.0.0.1', '::ffff:10.0.0.1'],
    ['2001:db8::1', '2001:db8::2'],
    ['2001:db8::1', '2001:db8:0:0:ffff:ffff:ffff:ffff'],
    ['2001:DB8::1', '2001:db8:0::1'],
    ['fe80::1%eth0', 'fe80::2'],
  ])('counts %s and %s as one', (one, other) => {
    const counter = limited(100, 1);
    expect([counter.add(one), counter.add(other)]).toEqual([null, 'address']);
    counter.remove(other);
    expect(counter.add(other)).toBeNull();
  });

  it.each([
    ['2001:db8::1', '2001:db8:0:1::1'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.2'],
    ['unknown', ''],
  ])('counts %s and %s as two', (one, other) => {
    const counter = limited(100, 1);
    expect([counter.add(one), counter.add(other)]).toEqual([null, null]);
  });

  it('counts each subject by itself', () => {
    const counter = limited(100, 0, 2);
    expect([counter.addSubject('a'), counter.addSubject('a'), counter.addSubject('a')]).toEqual([true, true, false]);
    expect(counter.addSubject('b')).toBe(true);
    counter.removeSubject('a');
    expect(counter.addSubject('a')).toBe(true);
  });
});
