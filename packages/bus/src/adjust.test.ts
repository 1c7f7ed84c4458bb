import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bus, createBus } from './bus.ts';
import type { Wire } from './connection/outbox.ts';
import type { Session } from './connection/session.ts';
import { principalOf } from './principal.ts';

const DEAF: Wire = {
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

beforeEach(async () => {
  bus = await createBus({ limits: { subjectRateLimitPerSecond: 5 } });
});
afterEach(() => bus.close({ withinMs: 0 }));

function connect(subject: string): Session {
  const profile = { clientType: 'service', screenName: null, avatar: null, personality: null } as const;
  const arrival = { principal: principalOf({ subject }), profile, clientKey: undefined, address: '127.0.0.1' };
  return bus.connect({ ...arrival, join: undefined }, DEAF);
}

describe('a bus that runs', () => {
  it('keeps what its channels keep within other bounds at once', async () => {
    for (let n = 0; n < 5; n += 1) await bus.publish('lab:x', { n });
    bus.adjust({ retention: { size: 2, ttlMs: 60_000 } });
    const kept = async (): Promise<number> => {
      const stream = { tenant: 'default', room: 'lab', channel: 'x' };
      return (await bus.engine.broker.history(stream, { limit: 10 })).length;
    };
    await expect.poll(kept, { timeout: 10_000 }).toBe(2);
  });

  it('changes nothing for rules that cannot be read', () => {
    const { maxHops } = bus.options;
    expect(() => bus.adjust({ maxHops: 7, rules: [{ match: 'a:b', publish: 'everybody' }] })).toThrow(/publish/);
    expect(bus.options.maxHops).toBe(maxHops);
    expect(bus.hops.limit).toBe(maxHops);
    bus.adjust({ maxHops: 7 });
    expect([bus.options.maxHops, bus.hops.limit]).toEqual([7, 7]);
  });

  it('holds connections that are there to other rates, and forgets those of who has gone', () => {
    const ada = connect('ada');
    const [before] = ada.buckets;
    expect([ada.buckets.length, bus.rates.subjects.size]).toEqual([1, 1]);
    bus.adjust({ rateLimitPerSecond: 1, rateLimitBurst: 3 });
    expect(ada.buckets).toHaveLength(2);
    expect(ada.buckets[1]).toBe(before);
    bus.adjust({ rateLimitPerSecond: 0, subjectRateLimitPerSecond: 0 });
    expect(ada.buckets).toEqual([]);
    bus.adjust({ subjectRateLimitPerSecond: 9 });
    const [after] = ada.buckets;
    const taken = Array.from({ length: 40 }, () => after?.take(0));
    expect(taken.filter((one) => one === true)).toHaveLength(18);
    const bob = connect('bob');
    expect(bus.rates.subjects.size).toBe(2);
    bus.disconnect(bob, 'closed');
    expect(bus.rates.subjects.size).toBe(1);
  });
});
