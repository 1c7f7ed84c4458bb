import type { Envelope } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { EVERYTHING, type Filter, matcher } from './filter.ts';

const envelope = {
  type: 'event',
  from: 'arq_client_1',
  payload: { order: { id: 42, state: 'Paid', lines: [{ sku: 'a-1' }] } },
  metadata: { sender: { name: 'Ada', subject: 'ada@lab', type: 'human', role: 'user' } },
} as unknown as Envelope;

const cases: [Partial<Filter>, boolean][] = [
  [{}, true],
  [{ text: 'paid' }, true],
  [{ text: 'refunded' }, false],
  [{ type: 'event' }, true],
  [{ type: 'telemetry' }, false],
  [{ sender: 'ada@' }, true],
  [{ sender: 'client_1' }, true],
  [{ sender: 'bob' }, false],
  [{ path: 'order.id' }, true],
  [{ path: 'order.id=42' }, true],
  [{ path: 'order.id=4' }, false],
  [{ path: 'order.state = Paid' }, true],
  [{ path: 'order.lines.0.sku=a-1' }, true],
  [{ path: 'order.missing' }, false],
  [{ path: '__proto__' }, false],
  [{ text: 'paid', sender: 'bob' }, false],
];

it.each(cases)('%j lets the message through: %s', (filter, passes) => {
  expect(matcher({ ...EVERYTHING, ...filter })(envelope)).toBe(passes);
});
