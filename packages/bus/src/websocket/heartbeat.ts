/** What the heartbeat looks after. */
export interface Beating {
  /** Time of the last sign of life, as {@link Heartbeat.time} tells it. */
  lastSeen: number;
  ping(): void;
  /**
   * Whether silence is no fault of the peer's: its socket is not read for now, and it takes what it is sent. Then its
   * time starts anew.
   */
  isExcused(): boolean;
  /** No sign of life for ping interval + grace. */
  missed(): void;
}

/** Parts of the ping interval: every connection is pinged in one of them, and the clock is looked at in each. */
const SLOTS = 20;
/** How long after a ping a sign of life has to come, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * One timer for all connections. Each is pinged once an interval, and looked at once more when its silence would be
 * too long; no moment has to touch them all.
 *
 * Time is counted while this process runs: a pause (a snapshot of the machine, a long computation) and a step of the
 * wall clock make nobody late, since what peers said meanwhile still waits to be read.
 */
export class Heartbeat {
  private readonly pinged: Set<Beating>[] = Array.from({ length: SLOTS }, () => new Set<Beating>());
  private readonly judged: Set<Beating>[];
  private readonly slotOf: Map<Beating, { ping: number; judge: number }> = new Map();
  private readonly tickMs: number;
  /** Silence after which a peer is gone. */
  private readonly limitMs: number;
  private readonly clock: () => number;
  private readonly timer: NodeJS.Timeout;
  private lastBeat: number;
  /** Milliseconds that the process did not run. */
  private slept = 0;
  private tick = 0;
  private next = 0;

  constructor(intervalMs: number, clock: () => number = () => performance.now()) {
    this.tickMs = intervalMs / SLOTS;
    this.limitMs = intervalMs + Math.min(GRACE_MS, intervalMs / 2);
    this.judged = Array.from({ length: Math.ceil(this.limitMs / this.tickMs) + 2 }, () => new Set<Beating>());
    this.clock = clock;
    this.lastBeat = clock();
    this.timer = setInterval(() => this.beat(), this.tickMs).unref();
  }

  /** Milliseconds that this process has been running, of a clock that never steps. */
  get time(): number {
    return this.clock() - this.slept;
  }

  add(peer: Beating): void {
    this.next = (this.next + 1) % SLOTS;
    this.pinged[this.next]?.add(peer);
    const slot = { ping: this.next, judge: 0 };
    this.slotOf.set(peer, slot);
    this.judgeIn(peer, slot, this.limitMs);
  }

  remove(peer: Beating): void {
    const slot = this.slotOf.get(peer);
    if (slot === undefined) return;
    this.slotOf.delete(peer);
    this.pinged[slot.ping]?.delete(peer);
    this.judged[slot.judge]?.delete(peer);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    const now = this.clock();
    const late = now - this.lastBeat - 2 * this.tickMs;
    if (late > 0) this.slept += late;
    this.lastBeat = now;
    this.tick += 1;
    for (const peer of this.pinged[this.tick % SLOTS] ?? []) peer.ping();
    const due = this.judged[this.tick % this.judged.length] as Set<Beating>;
    if (due.size === 0) return;
    const peers = [...due];
    due.clear();
    // What they said while this waited for its turn is read before they are judged.
    setImmediate(() => this.judge(peers));
  }

  private judge(peers: readonly Beating[]): void {
    const { time } = this;
    for (const peer of peers) {
      const slot = this.slotOf.get(peer);
      if (slot === undefined) continue;
      const silence = time - peer.lastSeen;
      // Within half a tick of the limit it is over: looking again later would only make it known later.
      const left = this.limitMs - silence - this.tickMs / 2;
      if (left > 0) this.judgeIn(peer, slot, left);
      else if (peer.isExcused()) {
        peer.lastSeen = time;
        this.judgeIn(peer, slot, this.limitMs);
      } else {
        this.remove(peer);
        peer.missed();
      }
    }
  }

  private judgeIn(peer: Beating, slot: { judge: number }, ms: number): void {
    const ticks = Math.min(Math.max(1, Math.floor(ms / this.tickMs)), this.judged.length - 1);
    slot.judge = (this.tick + ticks) % this.judged.length;
    this.judged[slot.judge]?.add(peer);
  }
}
