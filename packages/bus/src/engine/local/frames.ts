/** The largest frame that either side accepts, in bytes; a longer one ends the connection. */
const MAX_FRAME_BYTES = 512 * 1_048_576;
const SLAB_BYTES = 256 * 1_024;
const LENGTH_BYTES = 4;

/**
 * Outgoing frames: a 4-byte length, a 1-byte type, a body. They are written consecutively into slabs of memory, and
 * each slab's new bytes are sent as one chunk.
 */
export class FrameWriter {
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** How much of the slab has been sent. */
  private sent = 0;
  private at = 0;
  private frame = 0;
  private full: Buffer[] = [];

  get isEmpty(): boolean {
    return this.at === this.sent && this.full.length === 0;
  }

  begin(type: number): void {
    this.frame = this.at;
    this.need(LENGTH_BYTES + 1);
    this.at += LENGTH_BYTES;
    this.byte(type);
  }

  byte(value: number): void {
    this.need(1);
    this.slab[this.at] = value;
    this.at += 1;
  }

  /** An integer below 2^32. */
  count(value: number): void {
    this.need(4);
    this.at = this.slab.writeUInt32LE(value, this.at);
  }

  number(value: number): void {
    this.need(8);
    this.at = this.slab.writeDoubleLE(value, this.at);
  }

  /** Any string: with unpaired surrogates, which UTF-8 cannot encode, it is written as UTF-16. */
  text(value: string): void {
    const isWide = HALF_PAIR.test(value);
    const bytes = isWide ? value.length * 2 : Buffer.byteLength(value);
    this.need(4 + bytes);
    this.at = this.slab.writeUInt32LE(bytes * 2 + (isWide ? 1 : 0), this.at);
    this.at += this.slab.write(value, this.at, isWide ? 'utf16le' : 'utf8');
  }

  end(): void {
    this.slab.writeUInt32LE(this.at - this.frame - LENGTH_BYTES, this.frame);
  }

  /** The frame just written, until the next one is started. */
  get last(): Buffer {
    return this.slab.subarray(this.frame, this.at);
  }

  /** Writes a whole frame of another writer. */
  copy(frame: Buffer): void {
    this.frame = this.at;
    this.need(frame.length);
    frame.copy(this.slab, this.at);
    this.at += frame.length;
  }

  /** The chunks written since the last call; they are not modified afterwards. */
  take(): Buffer[] {
    const chunks = this.full;
    this.full = [];
    if (this.at > this.sent) chunks.push(this.slab.subarray(this.sent, this.at));
    this.sent = this.at;
    return chunks;
  }

  /** Makes room for more of the current frame, moving it to a new slab when this one is full. */
  private need(bytes: number): void {
    if (this.at + bytes <= this.slab.length) return;
    const begun = this.at - this.frame;
    const slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (begun + bytes)));
    this.slab.copy(slab, 0, this.frame, this.at);
    if (this.frame > this.sent) this.full.push(this.slab.subarray(this.sent, this.frame));
    this.slab = slab;
    this.sent = 0;
    this.frame = 0;
    this.at = begun;
  }
}

const HALF_PAIR = /\p{Surrogate}/u;

/** Reads the body of one frame. Throws a RangeError if it ends too early. */
export class FrameReader {
  private readonly bytes: Buffer;
  private at: number;
  private readonly end: number;
  readonly type: number;

  constructor(bytes: Buffer, from: number, end: number) {
    this.bytes = bytes;
    this.at = from;
    this.end = end;
    this.type = this.byte();
  }

  byte(): number {
    return this.bytes.readUInt8(this.step(1));
  }

  count(): number {
    return this.bytes.readUInt32LE(this.step(4));
  }

  number(): number {
    return this.bytes.readDoubleLE(this.step(8));
  }

  text(): string {
    const head = this.count();
    const length = head >>> 1;
    const from = this.step(length);
    return this.bytes.toString((head & 1) === 1 ? 'utf16le' : 'utf8', from, from + length);
  }

  private step(bytes: number): number {
    const from = this.at;
    if (from + bytes > this.end) throw new RangeError('The frame is shorter than its contents say.');
    this.at = from + bytes;
    return from;
  }
}

/** Splits incoming data into frames. */
export class FrameSplitter {
  private rest: Buffer[] = [];
  private size = 0;
  private wanted = LENGTH_BYTES;

  /** Calls `take` with each complete frame, in order. Throws when one is too long. */
  push(chunk: Buffer, take: (frame: FrameReader) => void): void {
    this.rest.push(chunk);
    this.size += chunk.length;
    if (this.size < this.wanted) return;
    const bytes = this.rest.length === 1 ? chunk : Buffer.concat(this.rest, this.size);
    let at = 0;
    this.wanted = LENGTH_BYTES;
    while (bytes.length - at >= LENGTH_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > MAX_FRAME_BYTES) throw new RangeError(`A frame of ${length} bytes is longer than any may be.`);
      this.wanted = LENGTH_BYTES + length;
      if (bytes.length - at < this.wanted) break;
      take(new FrameReader(bytes, at + LENGTH_BYTES, at + this.wanted));
      at += this.wanted;
      this.wanted = LENGTH_BYTES;
    }
    this.rest = at === bytes.length ? [] : [bytes.subarray(at)];
    this.size = bytes.length - at;
  }
}
