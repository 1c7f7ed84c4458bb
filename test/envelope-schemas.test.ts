import { decode, isRefusal } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INBOUND } from '../scripts/envelope-schemas.ts';

/** Values that are right, and values that are wrong, for each field. */
const FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  version: fc.constantFrom('1.0', '2.0', 1),
  id: fc.constantFrom('arq_1', 'arq_', 'x', 7, `arq_${'a'.repeat(124)}`, `arq_${'a'.repeat(125)}`),
  room: fc.constantFrom('science', 'a:b', 'a:*', '*', '*:*', '*:a', '_x', '', 'a b', 'a:b:c', 7, null),
  to: fc.constantFrom('c', ['c', 'sub:x'], [], '', [7], { c: 1 }, null),
  timestamp: fc.constantFrom('2026-01-31T00:00:00Z', '2026-01-31T00:00:00+01:00', 'now', 7, '2026-13-01T00:00:00Z'),
  payload: fc.constantFrom({}, { a: [1] }, [], 'x', null),
  args: fc.constantFrom({}, { a: 1 }, [], 'x'),
  command: fc.constantFrom('ping', '', 7),
  ack: fc.constantFrom(true, false, 'yes', 1),
  request_id: fc.constantFrom('arq_1', 'x'),
  metadata: fc.constantFrom(
    {},
    { own: 1 },
    [],
    { vector_clock: { a: 1 } },
    { vector_clock: { a: -1 } },
    { vector_clock: [] },
    { causal_parent_id: 'arq_1' },
    { causal_parent_id: 7 },
    { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    { traceparent: 'x' },
  ),
  unknown: fc.jsonValue(),
};

describe('the schemas of the documents', () => {
  it.each(Object.entries(INBOUND))('accept what the server accepts as %s, and nothing else', (type, schema) => {
    const optional = Object.fromEntries(Object.entries(FIELDS).map(([name, values]) => [name, values]));
    const frames = fc.record({ ...optional, type: fc.constant(type) }, { requiredKeys: ['type'] });
    fc.assert(
      fc.property(frames, (frame) => {
        const text = JSON.stringify(frame);
        const accepted = !isRefusal(decode(text));
        expect({ text, accepted: schema.safeParse(JSON.parse(text)).success }).toEqual({ text, accepted });
      }),
      { seed: 11, numRuns: 3_000 },
    );
  });
});
