import { describe, expect, it } from 'vitest';
import { turn } from '../rig.suite.ts';
import { HostSlots, hostKey } from './host-slots.ts';

const URL_A = new URL('http://a.example/hook');
const NEVER = new AbortController().signal;

async function granted(pending: Promise<(() => void) | null>): Promise<(() => void) | null | 'waits'> {
  return Promise.race([pending, turn().then(() => 'waits' as const)]);
}

describe('the places of a host', () => {
  it('are handed over in the order in which others came', async () => {
    const slots = new HostSlots(1);
    const order: number[] = [];
    const first = await slots.acquire(URL_A, NEVER);
    const others = [1, 2, 3].map(async (n) => {
      const release = await slots.acquire(URL_A, NEVER);
      order.push(n);
      return release;
    });
    expect(slots.waiting).toBe(3);
    expect(await granted(slots.acquire(new URL('http://b.example/hook'), NEVER))).toBeTypeOf('function');
    first?.();
    (await others[0])?.();
    await turn();
    expect(order).toEqual([1, 2]);
    (await others[1])?.();
    (await others[2])?.();
    expect(await granted(slots.acquire(URL_A, NEVER))).toBeTypeOf('function');
  });

  it('go to nobody who has stopped waiting', async () => {
    const slots = new HostSlots(1);
    const stop = new AbortController();
    const first = await slots.acquire(URL_A, NEVER);
    const left = slots.acquire(URL_A, stop.signal);
    const stays = slots.acquire(URL_A, NEVER);
    stop.abort();
    expect(await left).toBeNull();
    expect(await slots.acquire(URL_A, stop.signal)).toBeNull();
    expect(await granted(stays)).toBe('waits');
    first?.();
    expect(await granted(stays)).toBeTypeOf('function');
  });

  it.each([
    ['HTTP://A.Example/x', 'http://a.example.:80/y'],
    ['https://a.example', 'https://a.example:443/?q'],
    ['http://[::1]/', 'http://[0:0:0:0:0:0:0:1]/'],
    ['http://127.1/', 'http://2130706433/'],
  ])('are the same for %s and %s', (one, other) => expect(hostKey(new URL(one))).toBe(hostKey(new URL(other))));

  it('are others for another port', () => {
    expect(hostKey(new URL('http://a.example'))).not.toBe(hostKey(new URL('https://a.example')));
  });
});
