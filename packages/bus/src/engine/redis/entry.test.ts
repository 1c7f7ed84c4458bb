import { seal } from '@arqonbus/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeEntry, decodeMessage, encodeBody, storedEvent, streamEvent } from './entry.ts';

const fields = fc.record({
  from: fc.string({ unit: 'binary' }),
  identity: fc.option(fc.string({ unit: 'binary' })),
  open: fc.string({ unit: 'grapheme' }),
  id: fc.stringMatching(/^arq_[A-Za-z0-9_-]{1,20}$/),
  time: fc.nat(),
  number: fc.integer({ min: 1, max: 2 ** 40 }),
  sequence: fc.integer({ min: 1, max: 2 ** 50 }),
  order: fc.integer({ min: 0, max: 2 ** 52 }),
});

it('reads what an earlier release stored, which told no identities', () => {
  const entry = decodeEntry('general', 'e1', '4-7', 'old.1 1000 arq_old 3 ada{"id":"arq_old","metadata":{');
  const tag = { origin: 'old', number: 1 };
  const open = '{"id":"arq_old","metadata":{';
  expect(entry).toMatchObject({ sequence: 4, tag, time: 1_000, id: 'arq_old', from: 'ada', identity: 'ada', open });
});

it('carries an event in a message and in an entry without a change, whatever is in it', () => {
  fc.assert(
    fc.property(fields, ({ from, identity: given, open, id, time, number, sequence, order }) => {
      // Who has neither a token nor a key is known by the client id alone.
      const identity = given ?? from;
      const body = encodeBody(`origin.${number}`, { id, from, time, open }, identity);
      const expected = {
        channel: 'a/b',
        sequence,
        epoch: 'e1-x',
        order,
        tag: { origin: 'origin', number },
        time,
        id,
        from,
        identity,
        open,
      };
      expect(decodeMessage(`a/b ${sequence} e1-x ${order} ${body}`)).toEqual(expected);
      expect(decodeEntry('a/b', 'e1-x', `${sequence}-${order}`, body)).toEqual(expected);
      const text = seal(open, sequence, 'e1-x');
      expect(storedEvent(expected)).toEqual({ sequence, time, from, text });
      const stream = { tenant: 't', room: 'r', channel: 'a/b' };
      expect(streamEvent('t', 'r', expected)).toEqual({ stream, sequence, id, from, identity, text });
    }),
  );
});
