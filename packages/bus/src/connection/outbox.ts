/**
 * What a connection gets in one turn of the event loop, as a path in a tree: each node adds one frame to its parent's.
 * Connections that received the same frames in the same order stand on the same node, so its bytes are joined once
 * and written to all of them. A connection with frames of its own simply walks another path; order is kept by
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

  /** The frames of the path, oldest first. */
  frames(): Buffer[] {
    const frames = new Array<Buffer>(this.depth);
    for (let node: Batch = this; node.parent !== null; node = node.parent) frames[node.depth - 1] = node.frame!;
    return frames;
  }
}

/** The sending side of a connection, as the transport implements it. */
export interface Wire {
  /** Bytes accepted but not yet taken by the kernel. */
  readonly backlog: number;
  send(batch: Batch): void;
  /** Stops or goes on reading what the peer sends; the peer's own sending then stalls. Idempotent. */
  pauseReading(paused: boolean): void;
  /** Calls back once, when the backlog has drained (at once, in a later turn, when there is none). */
  whenDrained(callback: () => void): void;
  /** Sends what is queued, then the close frame; cuts the line if the peer does not follow. */
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

/** The frames on their way to one connection: one write a turn, bounded by bytes (PROTOCOL section 6, guarantee 5). */
export class Outbox {
  private readonly wire: Wire;
  private readonly flusher: Flusher;
  private readonly limit: number;
  private readonly onOverrun: () => void;
  private batch: Batch;
  private open = true;

  /** @param limit unsent bytes beyond which the connection is a slow consumer */
  constructor(wire: Wire, flusher: Flusher, limit: number, onOverrun: () => void) {
    this.wire = wire;
    this.flusher = flusher;
    this.limit = limit;
    this.onOverrun = onOverrun;
    this.batch = flusher.root;
  }

  /** Queues one frame. Costs two comparisons when others got the same frame before. */
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
    const { batch } = this;
    this.batch = this.flusher.root;
    if (!this.open || batch.parent === null) return;
    // What the kernel has not taken since earlier turns is the measure: one large turn alone makes nobody slow.
    if (this.wire.backlog > this.limit) {
      this.open = false;
      this.onOverrun();
      return;
    }
    this.wire.send(batch);
  }

  /** Drops what is queued and takes no more. */
  shut(): void {
    this.open = false;
  }
}
