import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.ts';
import { type Member, Members } from './members.ts';

function open(prefetches: Readonly<Record<string, number>>) {
  const ledger = new Ledger({ maxUnacked: 10_000, maxAttempts: 5, ackWaitMs: 1_000, backoffMs: [0] });
  const stream = ledger.follow('a', 0, 'e');
  const members = new Members(ledger);
  for (const [id, prefetch] of Object.entries(prefetches)) {
    members.add({ id, node: 'n', subject: null, prefetch, send: () => {} });
  }
  let sequence = 0;
  const give = (member: Member | undefined, length = 1): string | undefined => {
    if (member === undefined) return undefined;
    sequence += 1;
    const entry = ledger.offer(stream, sequence)!;
    ledger.keep(entry, 'x'.repeat(length));
    ledger.handOut(entry, member.id, `t${sequence}`, 0);
    return member.id;
  };
  return { ledger, members, give };
}

describe('the members of a group', () => {
  it('get events in turn while they are equally busy, and the least busy one first', () => {
    const { members, give, ledger } = open({ ada: 3, bob: 3, eve: 3 });
    const given = Array.from({ length: 6 }, () => give(members.leastBusy()));
    expect([...given].sort()).toEqual(['ada', 'ada', 'bob', 'bob', 'eve', 'eve']);
    ledger.ack(`t${given.indexOf('bob') + 1}`);
    expect(give(members.leastBusy())).toBe('bob');
  });

  it('get no more than their prefetch', () => {
    const { members, give } = open({ ada: 1, bob: 2 });
    const given = Array.from({ length: 4 }, () => give(members.leastBusy()));
    expect(given.slice(0, 3).sort()).toEqual(['ada', 'bob', 'bob']);
    expect([given[3], members.totalCredit]).toEqual([undefined, 0]);
  });

  it('get no more while they hold 1 MiB', () => {
    const { members, give } = open({ ada: 100 });
    expect(give(members.leastBusy(), 1_048_575)).toBe('ada');
    expect(give(members.leastBusy(), 5_000_000)).toBe('ada');
    expect(give(members.leastBusy())).toBeUndefined();
  });

  it('own keys evenly, and lose only their own when they go', () => {
    const { members } = open({ ada: 1, bob: 1, eve: 1, tom: 1 });
    const keys = Array.from({ length: 2_000 }, (_, index) => `customer-${index}`);
    const owners = new Map(keys.map((key) => [key, members.ownerOf(key)?.id]));
    const counts = new Map<string | undefined, number>();
    for (const owner of owners.values()) counts.set(owner, (counts.get(owner) ?? 0) + 1);
    for (const count of counts.values()) expect(count).toBeGreaterThan(400);
    members.remove('eve');
    for (const key of keys) {
      const owner = members.ownerOf(key)?.id;
      if (owners.get(key) === 'eve') expect(owner).not.toBe('eve');
      else expect(owner).toBe(owners.get(key));
    }
  });

  it('get nothing while they let a lease end and say no word, unless all do', () => {
    const { ledger, members, give } = open({ ada: 4, bob: 1 });
    const given = [give(members.leastBusy()), give(members.leastBusy())];
    const adas = `t${given.indexOf('ada') + 1}`;
    const key = Array.from({ length: 50 }, (_, index) => `k${index}`).find(
      (name) => members.ownerOf(name)?.id === 'ada',
    );
    ledger.ack(`t${given.indexOf('bob') + 1}`);
    ledger.collect(1_000, (holder, token) => members.silence(holder, token));
    expect([members.leastBusy()?.id, members.totalCredit, members.ownerOf(key as string)?.id]).toEqual([
      'bob',
      1,
      'bob',
    ]);
    expect(give(members.leastBusy())).toBe('bob');
    // It is the only one that would take more, and still it gets none.
    expect([members.leastBusy(), members.totalCredit]).toEqual([undefined, 0]);
    members.heard(adas, undefined);
    expect([members.leastBusy()?.id, members.totalCredit, members.ownerOf(key as string)?.id]).toEqual([
      'ada',
      4,
      'ada',
    ]);
  });

  it('get something again when all are silent, when one is heard of, or when the others have gone', () => {
    const { members } = open({ ada: 1, bob: 1 });
    members.silence('ada', 't1');
    members.silence('bob', 't2');
    expect(members.totalCredit).toBe(2);
    members.heard('t9', 'bob');
    expect([members.totalCredit, members.leastBusy()?.id]).toEqual([1, 'bob']);
    members.remove('bob');
    expect(members.leastBusy()?.id).toBe('ada');
    // Told again of a member, as nodes do every few seconds, a driver knows nothing new of it.
    members.add({ id: 'eve', node: 'n', subject: null, prefetch: 1, send: () => {} });
    members.add({ id: 'ada', node: 'n', subject: null, prefetch: 1, send: () => {} });
    expect([members.totalCredit, members.leastBusy()?.id]).toEqual([1, 'eve']);
  });

  it('are known by the last of many leases that they let end', () => {
    const { members } = open({ ada: 1, bob: 1 });
    for (let n = 0; n < 500; n += 1) members.silence('ada', `t${n}`);
    members.heard('t0', undefined);
    expect(members.totalCredit).toBe(1);
    members.heard('t499', undefined);
    expect(members.totalCredit).toBe(2);
  });
});
