import type { Envelope } from '@arqonbus/protocol';
import { signal } from '@preact/signals';
import { preview } from '../format/preview.ts';
import { visibleLine } from '../format/visible.ts';

/** A message as a list shows it. */
export interface Row {
  readonly key: number;
  readonly envelope: Envelope;
  readonly sequence: number | undefined;
  /** Who sent it, as one reads it. */
  readonly sender: string;
  /** Characters of its payload as JSON. */
  readonly size: number;
}

type Sized = Pick<Row, 'envelope' | 'size'>;

/** Rows that are kept; older ones are read from history again. */
const MAX_ROWS = 5_000;
/** Characters of the payloads of all of them, and of those that wait for a frame: few large messages fill a page too. */
const MAX_CHARACTERS = 33_554_432;
/** Rows that one frame takes in; what came beyond it is counted as skipped. */
const MAX_PER_FRAME = 200;
const PREVIEW_CHARACTERS = 400;

/** Runs a function with the next frame of the screen. */
export type Schedule = (run: () => void) => void;

/**
 * The messages of a channel as they come. However fast that is, the list changes once a frame and takes in only so much;
 * what it skips it counts.
 */
export class Tail {
  readonly rows = signal<readonly Row[]>([]);
  readonly paused = signal(false);
  /** Messages that came too fast to be shown, and those that wait behind the pause. */
  readonly skipped = signal(0);
  readonly waiting = signal(0);
  private incoming: Sized[] = [];
  private incomingSize = 0;
  /** Messages that arrived beyond what a frame takes in, since the last frame. */
  private passed = 0;
  private isScheduled = false;
  private isOver = false;
  private keys = 0;
  private readonly schedule: Schedule;
  private readonly previews = new WeakMap<Envelope, string>();

  constructor(schedule: Schedule = (run) => requestAnimationFrame(run)) {
    this.schedule = schedule;
  }

  push(envelope: Envelope): void {
    const sized = sizedOf(envelope);
    this.incoming.push(sized);
    this.incomingSize += sized.size;
    // Twice the room, so that an array is moved once for many messages.
    if (this.incoming.length >= 2 * this.room || this.incomingSize > 2 * MAX_CHARACTERS) this.drop();
    if (this.isScheduled || this.isOver) return;
    this.isScheduled = true;
    this.schedule(() => this.flush());
  }

  /** Older messages, oldest first, before all that is shown. */
  prepend(envelopes: readonly Envelope[]): void {
    const rows = [...envelopes.map((one) => this.rowOf(sizedOf(one))), ...this.rows.value];
    this.rows.value = rows.slice(0, fitting(rows, MAX_ROWS));
  }

  pause(paused: boolean): void {
    this.paused.value = paused;
    if (!paused) this.flush();
  }

  clear(): void {
    this.rows.value = [];
    this.skipped.value = 0;
  }

  stop(): void {
    this.isOver = true;
    this.incoming = [];
    this.incomingSize = 0;
  }

  /** The payload in one line. */
  preview(envelope: Envelope): string {
    const known = this.previews.get(envelope);
    if (known !== undefined) return known;
    const text = visibleLine(preview(envelope.payload, PREVIEW_CHARACTERS), PREVIEW_CHARACTERS + 1);
    this.previews.set(envelope, text);
    return text;
  }

  private get room(): number {
    return this.paused.value ? MAX_ROWS : MAX_PER_FRAME;
  }

  private drop(): void {
    const kept = newest(this.incoming, this.room);
    this.passed += this.incoming.length - kept.length;
    this.incoming = kept;
    this.incomingSize = kept.reduce((sum, { size }) => sum + size, 0);
  }

  private flush(): void {
    this.isScheduled = false;
    if (this.isOver) return;
    if (this.incoming.length > this.room || this.incomingSize > MAX_CHARACTERS) this.drop();
    if (this.passed > 0) this.skipped.value += this.passed;
    this.passed = 0;
    if (this.paused.value) {
      this.waiting.value = this.incoming.length;
      return;
    }
    this.waiting.value = 0;
    if (this.incoming.length === 0) return;
    const added = this.incoming.map((one) => this.rowOf(one));
    this.incoming = [];
    this.incomingSize = 0;
    this.rows.value = newest([...this.rows.value, ...added], MAX_ROWS);
  }

  private rowOf({ envelope, size }: Sized): Row {
    this.keys += 1;
    return { key: this.keys, envelope, sequence: envelope.metadata?.sequence, sender: senderOf(envelope), size };
  }
}

function sizedOf(envelope: Envelope): Sized {
  return { envelope, size: JSON.stringify(envelope.payload).length };
}

/** How many from the first on are within a number and {@link MAX_CHARACTERS}; one at least. */
function fitting(all: readonly { readonly size: number }[], most: number): number {
  let characters = 0;
  const beyond = all.findIndex(({ size }, index) => {
    characters += size;
    return index >= most || (characters > MAX_CHARACTERS && index > 0);
  });
  return beyond < 0 ? all.length : beyond;
}

/** The last ones that are within a number and {@link MAX_CHARACTERS}. */
function newest<T extends { readonly size: number }>(all: readonly T[], most: number): T[] {
  const last = all.slice(-most);
  return last.slice(last.length - fitting([...last].reverse(), most));
}

/** Whom a message is from: the name, else the subject, else the connection. */
function senderOf({ from, metadata }: Envelope): string {
  const { name, subject } = metadata?.sender ?? {};
  return visibleLine(name ?? subject ?? from ?? 'unknown', 80);
}
