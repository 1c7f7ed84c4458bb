import { expect, it } from 'vitest';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { principalOf } from '../principal.ts';
import { KnownStreams, type StreamRecord } from './known.ts';
import { requireRoom, sizeOf, WrittenStream } from './written.ts';

const RECORD: StreamRecord = {
  ...{ room: 'r', channel: 'c', from: 'arq_client_1', identity: 'sub:ada', opened_at: 0, ttl_seconds: 30 },
  ...{ sender: { type: 'human', role: 'user' }, end_id: 'arq_stream_1', node: 'n', run: 'run' },
};

function stream(): WrittenStream {
  const known = new KnownStreams(() => 0, true).note('default', 's', RECORD);
  const nothing = { onPiece: () => {}, onSilence: () => {} };
  return new WrittenStream(known, RECORD, principalOf({}), new FakeClock(), nothing);
}

it('counts a text in bytes, as it is and as JSON', () => {
  expect(sizeOf('a"é😀\n')).toEqual({ bytes: 9, encoded: 11 });
});

it('bounds a text, and all of a node together', () => {
  const one = stream();
  const limits = { maxBytes: 10, maxBytesTogether: 15 };
  one.append('12345', sizeOf('12345'));
  const room = (text: string, held: number) => (): void => requireRoom(one, sizeOf(text), held, limits);
  expect(room('67890', 10)).not.toThrow();
  expect(room('67890x', 0)).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { limit: 10, bytes: 5 } }),
  );
  expect(room('67890', 11)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { limit: 15 } }));
});
