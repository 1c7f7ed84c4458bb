/** What the heartbeat looks after. */
export interface Beating {
  /** Time of the last sign of life, in milliseconds. */
  lastSeen: number;
  ping(): void;
  /** No sign of life for ping interval + grace. */
  missed(): void;
}

const SLOTS = 20;
/** How long after a ping a sign of life has to come, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * One timer for all connections. They are spread over slots; each slot is pinged once an interval and looked at once
 * more when its grace is over, so that no moment has to touch them all.
 */
export class Heartbeat {
  private readonly slots: Set<Beating>[] = Array.from({ length: SLOTS }, () => new Set<Beating>());
  private readonly slotOf: Map<Beating, number> = new Map();
  private readonly intervalMs: number;
  private readonly now: () => number;
  private readonly timer: NodeJS.Timeout;
  private readonly graceTicks: number;
  private tick = 0;
  private next = 0;

  constructor(intervalMs: number, now: () => number) {
    this.intervalMs = intervalMs;
    this.now = now;
    const tickMs = intervalMs / SLOTS;
    this.graceTicks = Math.ceil(Math.min(GRACE_MS, intervalMs / 2) / tickMs);
    this.timer = setInterval(() => this.beat(), tickMs);
    this.timer.unref();
  }

  add(peer: Beating): void {
    this.next = (this.next + 1) % SLOTS;
    this.slots[this.next]?.add(peer);
    this.slotOf.set(peer, this.next);
  }

  remove(peer: Beating): void {
    const slot = this.slotOf.get(peer);
    if (slot === undefined) return;
    this.slotOf.delete(peer);
    this.slots[slot]?.delete(peer);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    this.tick = (this.tick + 1) % SLOTS;
    const deadline = this.now() - this.intervalMs - Math.min(GRACE_MS, this.intervalMs / 2);
    const due = this.slots[(this.tick - this.graceTicks + SLOTS) % SLOTS];
    for (const peer of due ?? []) if (peer.lastSeen <= deadline) peer.missed();
    for (const peer of this.slots[this.tick] ?? []) peer.ping();
  }
}
