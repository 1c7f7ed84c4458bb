import { cutFrames } from './frame.ts';

/**
 * What a connection gets in one turn of the event loop, as a path in a tree: each node adds one text's frames to its
 * parent's. Connections that received the same texts in the same order stand on the same node, so its bytes are joined
 * once and written to all of them. A connection with texts of its own simply walks another path; order is kept by
 * construction.
 */
export class Batch {
  readonly parent: Batch | null;
  readonly frame: Buffer | null;
  readonly bytes: number;
  readonly depth: number;
  /** The node that the frame delivered last leads to; one is enough, since a frame is handed out in one sweep. */
  next: Batch | null = null;
  private whole: Buffer | null = null;

  constructor(parent: Batch | null, frame: Buffer | null) {
    this.parent = parent;
    this.frame = frame;
    this.bytes = parent === null || frame === null ? 0 : parent.bytes + frame.length;
    this.depth = parent === null ? 0 : parent.depth + 1;
  }

  /** All frames of the path as one buffer, joined at the first call. */
  joined(): Buffer {
    if (this.whole === null) this.whole = this.depth === 1 ? this.frame! : Buffer.concat(this.frames(), this.bytes);
    return this.whole;
  }

  /** The frames of the path, one text each, oldest first. */
  frames(): Buffer[] {
    const frames = new Array<Buffer>(this.depth);
    for (let node: Batch = this; node.parent !== null; node = node.parent) frames[node.depth - 1] = node.frame!;
    return frames;
  }
}

/** The sending side of a connection, as the transport implements it. */
export interface Wire {
  /** Bytes handed over that the kernel has not taken yet, those that wait to be compressed included. */
  readonly backlog: number;
  /** Whether what is written may still arrive: neither side has begun to end the line. */
  readonly isOpen: boolean;
  /** Whether {@link write} takes the frames of one text at a time, to make frames of its own of it. */
  readonly oneByOne: boolean;
  /** Hands over whole frames; `taken` is told once they, and all before them, have left this process. */
  write(frames: Buffer, taken?: () => void): void;
  /** Stops or goes on reading what the peer sends; the peer's own sending then stalls. Idempotent. */
  pauseReading(paused: boolean): void;
  /** Sends a close frame behind what was handed over, and cuts the line if the peer does not follow. */
  close(code: number, reason: string): void;
}

/** Collects the outboxes that were given frames in this turn and writes each of them once at its end. */
export class Flusher {
  /** Where every outbox stands between turns. */
  readonly root: Batch = new Batch(null, null);
  private dirty: Outbox[] = [];
  private readonly run = (): void => this.flush();

  /** Notes an outbox whose first frame of this turn has just come. */
  add(outbox: Outbox): void {
    if (this.dirty.length === 0) setImmediate(this.run);
    this.dirty.push(outbox);
  }

  private flush(): void {
    const { dirty } = this;
    this.dirty = [];
    for (const outbox of dirty) outbox.flush();
    // Lets go of the tree of this turn.
    this.root.next = null;
  }
}

/** The kernel is handed at most this many bytes at a time; the rest can still be dropped for a close frame. */
const AT_A_TIME = 65_536 + 4;
const NOTHING = Buffer.alloc(0);

/** The frames on their way to one connection: one write a turn, bounded by bytes (PROTOCOL section 6, guarantee 5). */
export class Outbox {
  private readonly wire: Wire;
  private readonly flusher: Flusher;
  /** Unsent bytes beyond which the connection is a slow consumer. */
  readonly limit: number;
  private readonly onOverrun: () => void;
  /** What came in this turn. */
  private batch: Batch;
  /** What the kernel could not take yet, oldest first; null while it takes everything. */
  private waiting: Buffer[] | null = null;
  /** How much of the first of them was handed over. */
  private offset = 0;
  private waitingBytes = 0;
  private open = true;
  /** Told once everything has left. */
  private drained: (() => void)[] | null = null;
  private closing: { readonly code: number; readonly reason: string; readonly timer: NodeJS.Timeout } | null = null;
  private asked = false;
  /** Calls {@link taken}; made when it is first needed, which for most connections is never. */
  private callback: (() => void) | null = null;
  /** Texts that were written, or wait to be, and the bytes of their frames. */
  sent = 0;
  sentBytes = 0;

  /** @param limit unsent bytes beyond which the connection is a slow consumer */
  constructor(wire: Wire, flusher: Flusher, limit: number, onOverrun: () => void) {
    this.wire = wire;
    this.flusher = flusher;
    this.limit = limit;
    this.onOverrun = onOverrun;
    this.batch = flusher.root;
  }

  /** Bytes that have not left this process: this turn's, what waits here, and what the kernel has not taken. */
  get backlog(): number {
    return this.batch.bytes + this.waitingBytes + this.wire.backlog;
  }

  /** Queues the frames of one text. Costs two comparisons when others got the same before. */
  push(frame: Buffer): void {
    if (!this.open) return;
    const { batch } = this;
    let next = batch.next;
    if (next === null || next.frame !== frame) {
      next = new Batch(batch, frame);
      batch.next = next;
    }
    if (batch.parent === null) this.flusher.add(this);
    this.batch = next;
  }

  /** Writes this turn's frames: at its end, or earlier when a close frame must not overtake them. */
  flush(): void {
    const { batch, wire } = this;
    this.batch = this.flusher.root;
    if (!this.open || batch.parent === null) return;
    this.sent += batch.depth;
    this.sentBytes += batch.bytes;
    if (this.waiting === null && !wire.oneByOne && wire.backlog + batch.bytes <= AT_A_TIME) {
      wire.write(batch.joined());
      return;
    }
    this.waiting ??= [];
    if (wire.oneByOne) this.waiting.push(...batch.frames());
    else this.waiting.push(batch.joined());
    this.waitingBytes += batch.bytes;
    this.pump();
    if (this.waitingBytes + wire.backlog <= this.limit) return;
    this.abandon();
    this.onOverrun();
  }

  /** Calls back once everything has left, in a later turn; at once then, when there is nothing. */
  whenDrained(callback: () => void): void {
    this.drained ??= [];
    this.drained.push(callback);
    // What was queued in this turn is written at its end; only then there is a backlog to look at.
    if (this.drained.length === 1) setImmediate(this.whenTaken);
  }

  /** Whether what is pushed may still arrive. */
  get isOpen(): boolean {
    return this.open && this.wire.isOpen;
  }

  /**
   * Resolves once everything that was pushed has left: with true if the line was open until then, with false if it was
   * not, or if that takes longer than `patienceMs`.
   */
  emptied(patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patienceMs);
      this.whenDrained(() => {
        clearTimeout(timer);
        resolve(this.isOpen);
      });
    });
  }

  /** Drops what has not left, and takes no more. */
  abandon(): void {
    this.open = false;
    this.batch = this.flusher.root;
    this.waiting = null;
    this.waitingBytes = 0;
    if (this.closing !== null) clearTimeout(this.closing.timer);
    this.tellDrained();
  }

  /** Takes no more, sends what there is for at most `patienceMs`, then the close frame. */
  close(code: number, reason: string, patienceMs: number): void {
    this.flush();
    if (!this.open) return;
    this.open = false;
    if (this.waiting === null) {
      this.wire.close(code, reason);
      return;
    }
    const timer = setTimeout(() => {
      this.abandon();
      this.wire.close(code, reason);
    }, patienceMs);
    this.closing = { code, reason, timer: timer.unref() };
  }

  /** The kernel has taken what it was handed. */
  private taken(): void {
    this.asked = false;
    if (this.waiting !== null) this.pump();
    if (this.waiting === null && this.wire.backlog === 0 && this.batch.parent === null) this.tellDrained();
    else if (this.drained !== null) {
      // What is queued in this turn goes at its end; an empty write is taken at once, and asking again would never end.
      if (this.batch.parent === null) this.ask();
      else setImmediate(this.whenTaken);
    }
  }

  private get whenTaken(): () => void {
    this.callback ??= () => this.taken();
    return this.callback;
  }

  /** Hands over what waits, as far as it is taken. */
  private pump(): void {
    const { wire, waiting } = this;
    while (waiting !== null && waiting.length > 0) {
      if (wire.backlog > (wire.oneByOne ? AT_A_TIME : 0)) {
        if (!wire.oneByOne) this.ask();
        return;
      }
      const first = waiting[0] as Buffer;
      const end = wire.oneByOne ? first.length : cutFrames(first, this.offset, AT_A_TIME);
      const frames = end === first.length && this.offset === 0 ? first : first.subarray(this.offset, end);
      this.waitingBytes -= frames.length;
      this.offset = end;
      if (end === first.length) {
        waiting.shift();
        this.offset = 0;
      }
      // Frames that are compressed tell of each one; of the others only the last is asked for.
      wire.write(frames, wire.oneByOne ? this.whenTaken : undefined);
    }
    this.waiting = null;
    const { closing } = this;
    if (closing === null) return;
    clearTimeout(closing.timer);
    this.closing = null;
    wire.close(closing.code, closing.reason);
  }

  /** Asks to be told when the kernel has taken what it was handed. */
  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    this.wire.write(NOTHING, this.whenTaken);
  }

  private tellDrained(): void {
    const { drained } = this;
    this.drained = null;
    if (drained !== null) for (const callback of drained) callback();
  }
}
