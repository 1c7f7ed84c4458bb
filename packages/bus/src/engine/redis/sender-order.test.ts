import fc from 'fast-check';
import { expect, it } from 'vitest';
import { publication, stream } from '../suite/rig.suite.ts';
import { type Pending, SenderOrder } from './publisher.ts';

function pending(number: number, room: string, identity: string): Pending {
  return {
    number,
    publication: publication(stream('general', room), { identity }),
    topic: room,
    shard: room,
    body: 'x',
    idempotenceKey: '',
    place: null,
    answeredAt: 0,
    delivered: null,
    confirming: null,
    confirmed: null,
    isPassed: false,
    resolve() {},
    reject() {},
  };
}

it('cuts batches of one shard, in which nobody overtakes himself, and lets everything through', () => {
  const publications = fc.array(fc.tuple(fc.constantFrom('r1', 'r2', 'r3'), fc.constantFrom('ada', 'bob', 'eve')), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(publications, fc.integer({ min: 1, max: 8 }), fc.infiniteStream(fc.boolean()), (list, most, coin) => {
      const order = new SenderOrder();
      let unsent = list.map(([room, identity], index) => pending(index, room, identity));
      const open: Pending[][] = [];
      const last = new Map<string, number>();
      let taken = 0;
      while (unsent.length > 0 || open.length > 0) {
        const [batch, waiting] = order.cut(unsent, most, 1_000);
        unsent = waiting;
        expect(batch.length).toBeLessThanOrEqual(most);
        expect(new Set(batch.map(({ shard }) => shard)).size).toBeLessThanOrEqual(1);
        for (const each of batch) {
          const { identity } = each.publication;
          expect(each.number).toBeGreaterThan(last.get(identity) ?? -1);
          last.set(identity, each.number);
          const abroad = open.flat().filter((other) => other.publication.identity === identity);
          expect(abroad.every((other) => other.shard === each.shard)).toBe(true);
        }
        if (batch.length > 0) open.push(batch);
        taken += batch.length;
        // Now and then, and whenever nothing else can go on, the oldest batch is answered.
        if (batch.length === 0 || coin.next().value) for (const each of open.shift() ?? []) order.done(each);
      }
      expect(taken).toBe(list.length);
    }),
  );
});
