import { expect, it } from 'vitest';
import { Identities } from './identities.ts';
import type { Session } from './session.ts';

const session = (identity: string): Session => ({ identity }) as Session;

it('tells the connections of an identity, and when the last of them has gone', () => {
  const identities = new Identities();
  const [one, two, three, other] = ['sub:ada', 'sub:ada', 'sub:ada', 'sub:bob'].map(session) as [
    ...[Session, Session, Session, Session],
  ];
  for (const each of [one, one, two, three, other]) identities.add(each);
  expect(identities.of('sub:ada')).toEqual([one, two, three]);
  expect([identities.remove(two), identities.remove(one)]).toEqual([false, false]);
  expect(identities.of('sub:ada')).toEqual([three]);
  expect([identities.remove(three), identities.has('sub:ada'), identities.remove(three)]).toEqual([true, false, false]);
  // One that was never added ends nothing of another connection.
  expect([identities.remove(session('sub:bob')), identities.of('sub:bob')]).toEqual([false, [other]]);
  expect(identities.remove(other)).toBe(true);
});
