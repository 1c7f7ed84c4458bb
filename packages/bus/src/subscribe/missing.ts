import type { Missed, Missing, StreamAddress } from '../engine/engine.ts';
import { type Weighed, WeightHeap } from '../engine/memory/weight-heap.ts';

/** Bytes of events in hand, shared by the streams; each has one in hand at least. As many again are read ahead. */
const MOST_BYTES = 8 * 1_048_576;
/** Events in hand before their size is known, shared likewise. */
const FIRST = 256;
const FIRST_OF_ONE = 8;
const MOST_OF_ONE = 256;
/** Streams that are read at once at the beginning. */
const AT_ONCE = 256;
/** Bytes handed on before connections have a turn to write them. */
const TURN_BYTES = 262_144;

/**
 * Has events that passed this node by handed to its members, those of all streams together in the order in which they
 * were stored: one sender's events keep their order across channels and rooms. What is no longer kept of a stream is
 * told once, before what came after it. Rejects when a stream cannot be read; what was handed on by then stays so.
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

/** One stream, read page by page, the next one while the one before is handed on. */
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
  /** The last sequence that was handed on, and the order of its event. */
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

  /** The page is used up. */
  get isThrough(): boolean {
    return this.at === this.page.length;
  }

  /** The higher, the sooner its next event was stored; 0 when there is none. */
  get priority(): number {
    const next = this.page[this.at];
    if (next === undefined) return 0;
    // The clock of what stores may be set back; the order of a stream may not.
    this.order = Math.max(this.order, next.order);
    return Math.max(1, Number.MAX_SAFE_INTEGER - this.order);
  }

  /** Goes on to the next page. At the end it tells what is missing there. */
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
    // Whoever turns the page is told.
    this.ahead.catch(() => {});
  }

  /** Hands the next event on; answers how large it is. */
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
