import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Bus, createBus } from '../bus.ts';
import { principalOf } from '../principal.ts';
import { Line } from './line.suite.ts';
import type { Wire } from './outbox.ts';
import type { Session } from './session.ts';
import { sendAllSurely, sendSurely } from './sure.ts';

const TEXT = '{"n":1}';
const isNew = (): boolean => true;

let bus: Bus;
let line: Line;

function connect(wire: Wire): Session {
  const profile = { clientType: 'service', screenName: null, avatar: null, personality: null } as const;
  const principal = principalOf({ subject: 'bob' });
  return bus.connect({ principal, profile, clientKey: undefined, address: '127.0.0.1', join: undefined }, wire);
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  bus = await createBus();
  line = new Line();
});
afterEach(async () => {
  vi.useRealTimers();
  await bus.close({ withinMs: 0 });
});

it('tells that a text has left, and sends one that the client has had no second time', async () => {
  const bob = connect(line);
  expect(await sendSurely(bob, TEXT, isNew)).toBe(true);
  expect(await sendSurely(bob, TEXT, () => false)).toBe(true);
  expect(line.written.join('').split(TEXT)).toHaveLength(2);
});

it('sends nothing over a line that is being closed', async () => {
  const bob = connect(line);
  line.isOpen = false;
  const asked = vi.fn(isNew);
  expect(await sendSurely(bob, TEXT, asked)).toBe(false);
  expect(asked).not.toHaveBeenCalled();
});

it('tells that a text has not left when the line ends first, whichever side ends it', async () => {
  const ends: readonly ((bob: Session) => void)[] = [
    (bob) => bob.outbox.abandon(),
    () => {
      line.isOpen = false;
      line.drain();
    },
  ];
  for (const end of ends) {
    line = new Line();
    const bob = connect(line);
    line.isFull = true;
    const sent = sendSurely(bob, TEXT, isNew);
    while (!line.written.join('').includes(TEXT)) await nextTurn();
    end(bob);
    expect(await sent).toBe(false);
  }
});

it('waits no longer than 1.5 s for a client that does not read', async () => {
  const [slow, quick] = [new Line(), new Line()];
  const sessions = [connect(slow), connect(quick)];
  slow.isFull = true;
  const left = sendAllSurely(sessions, TEXT, isNew);
  let isKnown = false;
  void left.then(() => {
    isKnown = true;
  });
  while (!slow.written.join('').includes(TEXT) || !quick.written.join('').includes(TEXT)) await nextTurn();
  await vi.advanceTimersByTimeAsync(1_499);
  expect(isKnown).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await left).toEqual([sessions[1]?.id]);
});
