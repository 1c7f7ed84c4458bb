import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Beating, Heartbeat, type Slots } from './heartbeat.ts';

const INTERVAL_MS = 20_000;
const GRACE_MS = 10_000;
/** The clock moves in steps; what is put off to a later turn of the event loop happens in the next one. */
const STEP_MS = 100;

/** The clock of the heartbeat: it moves with the timers, and by itself while the process is paused. */
let clock: number;
let heartbeat: Heartbeat;

class Peer implements Beating {
  lastSeen = heartbeat.time;
  slots: Slots | null = null;
  pings = 0;
  excused = false;
  missedAt: number | null = null;
  /** Whether it answers pings. */
  answers = false;

  ping(): void {
    this.pings += 1;
    if (this.answers) this.lastSeen = heartbeat.time;
  }

  isExcused(): boolean {
    return this.excused;
  }

  missed(): void {
    this.missedAt = clock;
  }
}

/** Lets time pass, timers and clock alike. */
function pass(ms: number): void {
  for (let left = ms; left > 0; left -= STEP_MS) {
    clock += Math.min(STEP_MS, left);
    vi.advanceTimersByTime(Math.min(STEP_MS, left));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  clock = 0;
  heartbeat = new Heartbeat(INTERVAL_MS, () => clock);
});

afterEach(() => {
  heartbeat.stop();
  vi.useRealTimers();
});

describe('the heartbeat', () => {
  it('pings everybody once an interval, and reports a frozen peer in time, whatever its slot', () => {
    const frozen = Array.from({ length: 45 }, () => new Peer());
    const lively = Object.assign(new Peer(), { answers: true });
    for (const peer of [...frozen, lively]) heartbeat.add(peer);
    pass(INTERVAL_MS);
    expect(frozen.every(({ pings }) => pings === 1)).toBe(true);
    pass(GRACE_MS + 1_000);
    for (const { missedAt } of frozen) {
      expect(missedAt).toBeGreaterThan(INTERVAL_MS + GRACE_MS - 1_000);
      expect(missedAt).toBeLessThanOrEqual(INTERVAL_MS + GRACE_MS + STEP_MS);
    }
    pass(5 * INTERVAL_MS);
    expect(lively.missedAt).toBe(null);
  });

  it('pings few of many at a time, and everybody once an interval on a busy process too', () => {
    const peers = Array.from({ length: 4_000 }, () => Object.assign(new Peer(), { answers: true }));
    for (const peer of peers) heartbeat.add(peer);
    const pings = (): number => peers.reduce((sum, peer) => sum + peer.pings, 0);
    let most = 0;
    for (let before = 0, left = INTERVAL_MS; left > 0; left -= STEP_MS, before = pings()) {
      pass(STEP_MS);
      most = Math.max(most, pings() - before);
    }
    expect([most, pings()]).toEqual([20, 4_000]);
    // Each tick is half a second late.
    for (let left = INTERVAL_MS; left > 0; left -= 500) {
      clock += 450;
      vi.advanceTimersByTime(50);
      clock += 50;
    }
    pass(STEP_MS);
    expect(pings()).toBeGreaterThanOrEqual(8_000);
    expect(peers.every(({ missedAt }) => missedAt === null)).toBe(true);
  });

  it('counts a silence from the last sign of life', () => {
    const peer = new Peer();
    heartbeat.add(peer);
    pass(17_000);
    peer.lastSeen = heartbeat.time;
    pass(29_000);
    expect(peer.missedAt).toBe(null);
    pass(2_000);
    expect(peer.missedAt).not.toBe(null);
  });

  it('makes nobody late when the process was paused: what was said meanwhile still waits to be read', () => {
    const lively = Object.assign(new Peer(), { answers: true });
    const frozen = new Peer();
    heartbeat.add(lively);
    heartbeat.add(frozen);
    pass(5_000);
    clock += 3_600_000;
    pass(2_000);
    expect([lively.missedAt, frozen.missedAt]).toEqual([null, null]);
    pass(INTERVAL_MS + GRACE_MS);
    expect(lively.missedAt).toBe(null);
    expect(frozen.missedAt).not.toBe(null);
  });

  it('starts the time anew of whose silence is no fault of its own', () => {
    const held = Object.assign(new Peer(), { excused: true });
    heartbeat.add(held);
    pass(3 * INTERVAL_MS);
    expect(held.missedAt).toBe(null);
    held.excused = false;
    pass(INTERVAL_MS + GRACE_MS);
    expect(held.missedAt).not.toBe(null);
  });

  it('forgets whoever was removed', () => {
    const peer = new Peer();
    heartbeat.add(peer);
    heartbeat.remove(peer);
    pass(3 * INTERVAL_MS);
    expect([peer.pings, peer.missedAt]).toEqual([0, null]);
  });
});
