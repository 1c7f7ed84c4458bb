/** The slots in which a peer is pinged, and checked next. */
export interface Slots {
  readonly ping: number;
  judge: number;
}

/** A peer monitored by the heartbeat. */
export interface Beating {
  /** Time of the last sign of life, by {@link Heartbeat.time}. */
  lastSeen: number;
  /** Kept by the heartbeat: when it is pinged and checked; null before it is added and once it is removed. */
  slots: Slots | null;
  ping(): void;
  /**
   * Whether silence is not the peer's fault: reading its socket is paused, and it accepts what it is sent. Its time
   * then restarts.
   */
  isExcused(): boolean;
  /** No sign of life for ping interval + grace. */
  missed(): void;
}

/**
 * Maximum slots per ping interval. Each connection is pinged in one of them: with 10,000 connections and an interval of
 * 20 s, 25 every 50 ms. Pings of many connections at once would delay every message behind them.
 */
const MOST_SLOTS = 400;
const LEAST_SLOTS = 20;
/** Minimum duration of a slot while there are more than {@link LEAST_SLOTS}, in milliseconds. */
const LEAST_TICK_MS = 20;
/** Maximum time from a ping to a sign of life, in milliseconds. */
const GRACE_MS = 10_000;

/**
 * One timer for all connections. Each is pinged once per interval, and checked when its silence may have become too
 * long; no single tick handles all of them.
 *
 * Only time while this process runs is counted: after a pause (a VM snapshot, a long computation) or a wall clock step
 * no peer counts as late, since its data may still be waiting to be read.
 */
export class Heartbeat {
  private readonly pinged: Set<Beating>[];
  private readonly judged: Set<Beating>[];
  private readonly tickMs: number;
  /** Time between two ticks above which the process counts as paused, in milliseconds. */
  private readonly pauseMs: number;
  /** Silence after which a peer counts as gone. */
  private readonly limitMs: number;
  private readonly clock: () => number;
  private readonly timer: NodeJS.Timeout;
  private readonly began: number;
  private lastBeat: number;
  /** Milliseconds that the process was paused. */
  private slept = 0;
  private tick = 0;
  private next = 0;

  constructor(intervalMs: number, clock: () => number = () => performance.now()) {
    const slots = Math.min(MOST_SLOTS, Math.max(LEAST_SLOTS, Math.floor(intervalMs / LEAST_TICK_MS)));
    this.pinged = Array.from({ length: slots }, () => new Set<Beating>());
    this.tickMs = intervalMs / slots;
    this.pauseMs = (2 * intervalMs) / LEAST_SLOTS;
    this.limitMs = intervalMs + Math.min(GRACE_MS, intervalMs / 2);
    this.judged = Array.from({ length: Math.ceil(this.limitMs / this.tickMs) + 2 }, () => new Set<Beating>());
    this.clock = clock;
    this.began = clock();
    this.lastBeat = this.began;
    this.timer = setInterval(() => this.beat(), this.tickMs).unref();
  }

  /** Milliseconds that this process has been running, on a monotonic clock. */
  get time(): number {
    return this.clock() - this.slept;
  }

  add(peer: Beating): void {
    this.next = (this.next + 1) % this.pinged.length;
    this.pinged[this.next]?.add(peer);
    peer.slots = { ping: this.next, judge: 0 };
    this.judgeIn(peer, peer.slots, this.limitMs);
  }

  remove(peer: Beating): void {
    const { slots } = peer;
    if (slots === null) return;
    peer.slots = null;
    this.pinged[slots.ping]?.delete(peer);
    this.judged[slots.judge]?.delete(peer);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private beat(): void {
    const now = this.clock();
    const late = now - this.lastBeat - this.pauseMs;
    if (late > 0) this.slept += late;
    this.lastBeat = now;
    const peers: Beating[] = [];
    // A busy process catches up, so that pings keep their interval.
    for (const until = Math.floor((this.time - this.began) / this.tickMs); this.tick < until; ) {
      this.tick += 1;
      for (const peer of this.pinged[this.tick % this.pinged.length] ?? []) peer.ping();
      const due = this.judged[this.tick % this.judged.length] as Set<Beating>;
      peers.push(...due);
      due.clear();
    }
    // Read data that arrived while this tick was delayed before judging.
    if (peers.length > 0) setImmediate(() => this.judge(peers));
  }

  private judge(peers: readonly Beating[]): void {
    const { time } = this;
    for (const peer of peers) {
      const { slots } = peer;
      if (slots === null) continue;
      const silence = time - peer.lastSeen;
      // Within half a tick of the limit counts as over, since the next check would be late.
      const left = this.limitMs - silence - this.tickMs / 2;
      if (left > 0) this.judgeIn(peer, slots, left);
      else if (peer.isExcused()) {
        peer.lastSeen = time;
        this.judgeIn(peer, slots, this.limitMs);
      } else {
        this.remove(peer);
        peer.missed();
      }
    }
  }

  private judgeIn(peer: Beating, slots: Slots, ms: number): void {
    const ticks = Math.min(Math.max(1, Math.floor(ms / this.tickMs)), this.judged.length - 1);
    slots.judge = (this.tick + ticks) % this.judged.length;
    this.judged[slots.judge]?.add(peer);
  }
}
