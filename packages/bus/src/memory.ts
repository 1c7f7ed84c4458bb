import { getHeapStatistics } from 'node:v8';
import { BusError } from '@arqonbus/protocol';

/** How often heap usage is checked, in milliseconds; more often while much is received. */
const INTERVAL_MS = 250;
/** Received UTF-16 units after which it is checked again, regardless of time. */
const EVERY_BYTES = 8 * 1_048_576;
/** The default limit, as a share of the maximum heap size. */
const SHARE = 0.85;

/**
 * Watches heap usage: above the limit, new connections and publications are refused, before the process runs out of
 * memory. Accepted work continues, and requests are answered.
 */
export class MemoryGuard {
  /** Bytes of heap above which the process counts as full. */
  limit: number;
  private readonly onChange: (isFull: boolean, used: number) => void;
  private readonly heapUsed: () => number;
  private readonly timer: NodeJS.Timeout;
  private unseen = 0;
  isFull = false;
  /** Connections and publications refused since the start. */
  refused = 0;

  /**
   * @param limit bytes; 0: 85 % of the maximum heap size
   * @param onChange called when the process becomes full, and when it no longer is
   * @param heapUsed bytes of heap in use; for tests
   */
  constructor(
    limit: number,
    onChange: (isFull: boolean, used: number) => void,
    heapUsed: () => number = () => getHeapStatistics().used_heap_size,
  ) {
    this.limit = limitOf(limit);
    this.onChange = onChange;
    this.heapUsed = heapUsed;
    this.timer = setInterval(() => this.look(), INTERVAL_MS).unref();
  }

  /** Changes the limit: bytes, 0 for 85 % of the maximum heap size. */
  adjust(limit: number): void {
    this.limit = limitOf(limit);
  }

  /** Counts input from clients. */
  received(length: number): void {
    this.unseen += length;
    if (this.unseen > EVERY_BYTES) this.look();
  }

  /** Throws LIMIT_EXCEEDED while the process is full. */
  requireRoom(): void {
    if (!this.isFull) return;
    this.refused += 1;
    throw new BusError('LIMIT_EXCEEDED', 'The server is out of memory for now; send this again later.', {
      limit: this.limit,
    });
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    this.unseen = 0;
    const used = this.heapUsed();
    // Hysteresis: once full, usage must fall by a tenth, so that the state does not flip with every message.
    const isFull = used > (this.isFull ? this.limit * 0.9 : this.limit);
    if (isFull === this.isFull) return;
    this.isFull = isFull;
    this.onChange(isFull, used);
  }
}

function limitOf(limit: number): number {
  return limit > 0 ? limit : Math.floor(getHeapStatistics().heap_size_limit * SHARE);
}
