import { Buffer } from 'node:buffer';
import { cutFrames, type Frame, Run } from './frame.ts';

/**
 * The frames of a connection in one turn of the event loop, as a path in a tree: each node adds the frames of one text,
 * or of a run of texts, to its parent's. Connections that receive the same texts in the same order share a node, so its
 * bytes are joined once and written to all of them. A connection with its own texts takes another path; order is always
 * kept.
 */
export class Batch {
  readonly parent: Batch | null;
  readonly frame: Frame | Run | null;
  readonly bytes: number;
  readonly texts: number;
  /** The child for the frame delivered last; one is enough, since a frame is delivered to all receivers in one pass. */
  next: Batch | null = null;
  /** Kept here by a {@link Framing}: in a WeakMap it would cost 1.4 µs per connection and turn, in garbage collection. */
  made: unknown = null;
  private whole: Buffer | null = null;

  constructor(parent: Batch | null, frame: Frame | Run | null) {
    this.parent = parent;
    this.frame = frame;
    this.bytes = parent === null || frame === null ? 0 : parent.bytes + frame.length;
    this.texts = parent === null ? 0 : parent.texts + (frame instanceof Run ? frame.frames.length : 1);
  }

  /** All frames of the path as one buffer, written on the first call. */
  joined(): Buffer {
    this.whole ??= this.parent?.parent === null ? this.frame!.bytes : this.join();
    return this.whole;
  }

  /** The frames of the path, one text each, oldest first. */
  frames(): Frame[] {
    const frames = new Array<Frame>(this.texts);
    for (let node: Batch = this; node.parent !== null; node = node.parent) {
      const first = node.parent.texts;
      if (node.frame instanceof Run)
        for (const [index, frame] of node.frame.frames.entries()) frames[first + index] = frame;
      else frames[first] = node.frame!;
    }
    return frames;
  }

  private join(): Buffer {
    const bytes = Buffer.allocUnsafe(this.bytes);
    for (let node: Batch = this; node.parent !== null; node = node.parent)
      node.frame!.writeTo(bytes, node.parent.bytes);
    return bytes;
  }
}

/** The form in which a transport writes texts, where that is not WebSocket frames. */
export interface Framing {
  /** The texts of a batch as the bytes to write. Called once for each batch of the connection, in their order. */
  bytesOf(batch: Batch): Buffer;
  /** The end of as many whole texts from `from` as fit in `most` bytes; at least one. */
  cut(bytes: Buffer, from: number, most: number): number;
}

/** The sending side of a connection, implemented by the transport. */
export interface Wire {
  /** Written bytes that the kernel has not accepted yet, including those waiting for compression. */
  readonly backlog: number;
  /** Whether written data may still arrive: neither side has started to close. */
  readonly isOpen: boolean;
  /** Whether {@link write} takes the frames of one text at a time, since it frames texts itself. */
  readonly oneByOne: boolean;
  /** Default: WebSocket frames. */
  readonly framing?: Framing;
  /** Writes whole frames; `taken` is called once they, and all before them, have left this process. */
  write(frames: Buffer, taken?: () => void): void;
  /** Pauses or resumes reading, so that the peer's sending stalls. Idempotent. */
  pauseReading(paused: boolean): void;
  /** Sends a close frame after the written data, and cuts the connection if the peer does not respond. */
  close(code: number, reason: string): void;
}

/** Collects the outboxes that received frames in this turn, and writes each once at its end. */
export class Flusher {
  /** The batch of every outbox between turns. */
  readonly root: Batch = new Batch(null, null);
  private dirty: Outbox[] = [];
  private readonly run = (): void => this.flush();

  /** Adds an outbox on its first frame of this turn. */
  add(outbox: Outbox): void {
    if (this.dirty.length === 0) setImmediate(this.run);
    this.dirty.push(outbox);
  }

  private flush(): void {
    const { dirty } = this;
    this.dirty = [];
    for (const outbox of dirty) outbox.flush();
    // Releases the tree of this turn.
    this.root.next = null;
  }
}

/** The most bytes given to the kernel at a time; the rest can still be dropped in favour of a close frame. */
const AT_A_TIME = 65_536 + 4;
const NOTHING = Buffer.alloc(0);

/** The outgoing frames of one connection: one write per turn, limited in bytes (PROTOCOL section 6, guarantee 5). */
export class Outbox {
  private readonly wire: Wire;
  private readonly flusher: Flusher;
  /** Unsent bytes beyond which the connection is a slow consumer. */
  readonly limit: number;
  private readonly onOverrun: () => void;
  /** The frames of this turn. */
  private batch: Batch;
  /** Frames that the kernel could not accept yet, oldest first; null while it accepts everything. */
  private waiting: Buffer[] | null = null;
  /** How much of the first of them was written. */
  private offset = 0;
  private waitingBytes = 0;
  private open = true;
  /** Called once everything has been sent. */
  private drained: (() => void)[] | null = null;
  private closing: { readonly code: number; readonly reason: string; readonly timer: NodeJS.Timeout } | null = null;
  private asked = false;
  /** Calls {@link taken}; created on first use, which most connections never need. */
  private callback: (() => void) | null = null;
  /** Texts written or queued, and the bytes of their frames. */
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

  /** Bytes that have not left this process: this turn's, those queued here, and those the kernel has not accepted. */
  get backlog(): number {
    return this.batch.bytes + this.waitingBytes + this.wire.backlog;
  }

  /**
   * Queues the frames of one text, or of a run of texts. Costs two comparisons when other connections already got the
   * same.
   */
  push(frame: Frame | Run): void {
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

  /** Writes this turn's frames: at its end, or earlier so that a close frame does not overtake them. */
  flush(): void {
    const { batch, wire } = this;
    this.batch = this.flusher.root;
    if (!this.open || batch.parent === null) return;
    this.sent += batch.texts;
    this.sentBytes += batch.bytes;
    if (wire.oneByOne) {
      this.waiting ??= [];
      for (const frame of batch.frames()) this.waiting.push(frame.bytes);
      this.waitingBytes += batch.bytes;
    } else {
      const bytes = wire.framing === undefined ? batch.joined() : wire.framing.bytesOf(batch);
      if (this.waiting === null && wire.backlog + bytes.length <= AT_A_TIME) {
        wire.write(bytes);
        return;
      }
      this.waiting ??= [];
      this.waiting.push(bytes);
      this.waitingBytes += bytes.length;
    }
    this.pump();
    if (this.waitingBytes + wire.backlog <= this.limit) return;
    this.abandon();
    this.onOverrun();
  }

  /** Calls back once everything has been sent, always in a later turn. */
  whenDrained(callback: () => void): void {
    this.drained ??= [];
    this.drained.push(callback);
    // Frames of this turn are written at its end; only then is there a backlog to check.
    if (this.drained.length === 1) setImmediate(this.whenTaken);
  }

  /** Whether pushed frames may still arrive. */
  get isOpen(): boolean {
    return this.open && this.wire.isOpen;
  }

  /**
   * Resolves once everything pushed has been sent: true if the connection stayed open until then, false if not, or
   * after `patienceMs`.
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

  /** Drops all unsent frames, and accepts no more. */
  abandon(): void {
    this.open = false;
    this.batch = this.flusher.root;
    this.waiting = null;
    this.waitingBytes = 0;
    if (this.closing !== null) clearTimeout(this.closing.timer);
    this.tellDrained();
  }

  /** Accepts no more frames, sends the queue for at most `patienceMs`, then the close frame. */
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

  /** The kernel has accepted the written bytes. */
  private taken(): void {
    this.asked = false;
    if (this.waiting !== null) this.pump();
    if (this.waiting === null && this.wire.backlog === 0 && this.batch.parent === null) this.tellDrained();
    else if (this.drained !== null) {
      // Frames of this turn are written at its end; an empty write completes at once, so repeating it would never end.
      if (this.batch.parent === null) this.ask();
      else setImmediate(this.whenTaken);
    }
  }

  private get whenTaken(): () => void {
    this.callback ??= () => this.taken();
    return this.callback;
  }

  /** Writes queued frames, as far as the kernel accepts them. */
  private pump(): void {
    const { wire, waiting } = this;
    while (waiting !== null && waiting.length > 0) {
      if (wire.backlog > (wire.oneByOne ? AT_A_TIME : 0)) {
        if (!wire.oneByOne) this.ask();
        return;
      }
      const first = waiting[0] as Buffer;
      const end = wire.oneByOne ? first.length : this.cut(first);
      const frames = end === first.length && this.offset === 0 ? first : first.subarray(this.offset, end);
      this.waitingBytes -= frames.length;
      this.offset = end;
      if (end === first.length) {
        waiting.shift();
        this.offset = 0;
      }
      // Compressed frames report each completion; for others only the last is requested.
      wire.write(frames, wire.oneByOne ? this.whenTaken : undefined);
    }
    this.waiting = null;
    const { closing } = this;
    if (closing === null) return;
    clearTimeout(closing.timer);
    this.closing = null;
    wire.close(closing.code, closing.reason);
  }

  /** The end of what is written next of `bytes`, from the current offset. */
  private cut(bytes: Buffer): number {
    const { framing } = this.wire;
    if (framing === undefined) return cutFrames(bytes, this.offset, AT_A_TIME);
    return framing.cut(bytes, this.offset, AT_A_TIME);
  }

  /** Requests a callback once the kernel has accepted the written bytes. */
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
