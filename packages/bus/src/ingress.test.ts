import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Bus, createBus } from './bus.ts';
import type { Wire } from './connection/outbox.ts';
import type { Session } from './connection/session.ts';
import { serverPrincipal } from './system-sender.ts';

/** Takes everything at once and keeps nothing. */
const wire: Wire = {
  backlog: 0,
  isOpen: true,
  oneByOne: false,
  write: (_frames, taken) => {
    if (taken !== undefined) setImmediate(taken);
  },
  pauseReading: () => {},
  close: () => {},
};

let bus: Bus;

async function connect(): Promise<Session> {
  bus = await createBus();
  const profile = { clientType: 'service', screenName: null, avatar: null, personality: null } as const;
  const principal = serverPrincipal('default');
  return bus.connect({ principal, profile, clientKey: undefined, address: '127.0.0.1', join: undefined }, wire);
}

const event = (bytes: number): string =>
  JSON.stringify({ version: '1.0', type: 'event', room: 'r', channel: 'x', payload: { body: 'x'.repeat(bytes) } });

/** Lets every look at the clock find that 3 ms have passed since the one before. */
function slowClock(): void {
  let now = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 3;
    return now;
  });
}

afterEach(async () => {
  vi.restoreAllMocks();
  await bus.close({ withinMs: 0 });
});

describe('one connection’s turn', () => {
  it('ends after one large text that took its time', async () => {
    const session = await connect();
    slowClock();
    for (let n = 0; n < 3; n += 1) bus.receive(session, event(100_000));
    expect(session.traffic.received).toBe(1);
    while (session.traffic.received < 3) await nextTurn();
  });

  it('looks at the clock once in a few small ones', async () => {
    const session = await connect();
    slowClock();
    for (let n = 0; n < 20; n += 1) bus.receive(session, event(10));
    expect(session.traffic.received).toBe(8);
    while (session.traffic.received < 20) await nextTurn();
  });
});
