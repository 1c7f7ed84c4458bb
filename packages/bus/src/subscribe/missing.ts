import type { Missed, Missing, StreamAddress } from '../engine/engine.ts';
import { type Weighed, WeightHeap } from '../engine/memory/weight-heap.ts';

/** Bytes of loaded events, shared by all streams; each has at least one loaded. As many again are read ahead. */
const MOST_BYTES = 8 * 1_048_576;
/** Events loaded before their size is known, shared likewise. */
const FIRST = 256;
const FIRST_OF_ONE = 8;
const MOST_OF_ONE = 256;
/** Streams read at once at the beginning. */
const AT_ONCE = 256;
/** Bytes delivered before connections get a turn to write. */
const TURN_BYTES = 262_144;

/**
 * Delivers missed events to this node's members, across all streams in the order in which they were stored: one
 * sender's events keep their order across channels and rooms. Events of a stream that are no longer kept are reported
 * once, before later events. Rejects when a stream cannot be read; what was delivered by then stays delivered.
 */
export async function raiseMissing(
  missing: readonly Missing[],
  tellGap: (stream: StreamAddress) => void,
): Promise<void> {
  const sources = missing.map((one) => new Source(one, missing.length, tellGap));
  for (let from = 0; from < sources.length; from += AT_ONCE) {
    await Promise.all(sources.slice(from, from + AT_ONCE).map((source) => source.turnPage()));
  }
  const heads = new WeightHeap<Source>();
  for (const source of sources) heads.weigh(source, source.priority);
  let unwritten = 0;
  for (let source = heads.heaviest; source !== undefined; source = heads.heaviest) {
    unwritten += source.hand();
    if (source.isThrough) await source.turnPage();
    heads.weigh(source, source.priority);
    if (unwritten < TURN_BYTES) continue;
    unwritten = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** One stream, read page by page; the next page is read while the current one is delivered. */
class Source implements Weighed {
  weight = 0;
  place = -1;
  private readonly missing: Missing;
  private readonly tellGap: (stream: StreamAddress) => void;
  private readonly share: number;
  private page: readonly Missed[] = [];
  private at = 0;
  private ahead: Promise<readonly Missed[]> | null;
  private limit: number;
  /** The last sequence delivered, and the order of its event. */
  private last: number;
  private order = 0;
  private isTold = false;

  constructor(missing: Missing, streams: number, tellGap: (stream: StreamAddress) => void) {
    this.missing = missing;
    this.tellGap = tellGap;
    this.share = MOST_BYTES / streams;
    this.limit = Math.min(FIRST_OF_ONE, Math.max(1, Math.floor(FIRST / streams)));
    this.last = missing.after;
    this.ahead = null;
  }

  /** Whether the page is used up. */
  get isThrough(): boolean {
    return this.at === this.page.length;
  }

  /** The earlier its next event was stored, the higher; 0 when there is none. */
  get priority(): number {
    const next = this.page[this.at];
    if (next === undefined) return 0;
    // The storing clock may be set back, but the order within a stream must not change.
    this.order = Math.max(this.order, next.order);
    return Math.max(1, Number.MAX_SAFE_INTEGER - this.order);
  }

  /** Moves to the next page. At the end it reports missing events there. */
  async turnPage(): Promise<void> {
    const { missing } = this;
    const isFirst = this.ahead === null && this.page.length === 0;
    const page = await (isFirst ? this.read(missing.after) : (this.ahead ?? []));
    this.page = page;
    this.at = 0;
    this.ahead = null;
    const last = page.at(-1);
    if (last === undefined) {
      if (this.last < missing.upTo) this.tell();
      return;
    }
    const isLast = page.length < this.limit || last.sequence >= missing.upTo;
    const bytes = page.reduce((sum, each) => sum + each.bytes, 1);
    this.limit = Math.min(MOST_OF_ONE, Math.max(1, Math.floor((this.share * page.length) / bytes)));
    if (isLast) return;
    this.ahead = this.read(last.sequence);
    // The error surfaces when the page is turned.
    this.ahead.catch(() => {});
  }

  /** Delivers the next event; returns its size. */
  hand(): number {
    const next = this.page[this.at] as Missed;
    this.at += 1;
    if (next.sequence > this.last + 1) this.tell();
    this.last = next.sequence;
    next.hand();
    return next.bytes;
  }

  private async read(after: number): Promise<readonly Missed[]> {
    return this.missing.read(after, this.limit);
  }

  private tell(): void {
    if (this.isTold) return;
    this.isTold = true;
    this.tellGap(this.missing.stream);
  }
}
