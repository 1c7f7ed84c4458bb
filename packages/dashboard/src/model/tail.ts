import type { Envelope } from '@arqonbus/protocol';
import { signal } from '@preact/signals';
import { preview } from '../format/preview.ts';
import { visibleLine } from '../format/visible.ts';

/** A message as a list row. */
export interface Row {
  readonly key: number;
  readonly envelope: Envelope;
  readonly sequence: number | undefined;
  /** The sender's display name. */
  readonly sender: string;
  /** Characters of its payload as JSON. */
  readonly size: number;
}

type Sized = Pick<Row, 'envelope' | 'size'>;

/** Maximum rows; older ones are fetched from history again. */
const MAX_ROWS = 5_000;
/**
 * Maximum payload characters of all rows, and of those waiting for a frame: a few large messages can also fill a page.
 */
const MAX_CHARACTERS = 33_554_432;
/** Maximum rows added per frame; further messages are counted as skipped. */
const MAX_PER_FRAME = 200;
const PREVIEW_CHARACTERS = 400;

/** Runs a function on the next animation frame. */
export type Schedule = (run: () => void) => void;

/**
 * The incoming messages of a channel. The list is updated once per frame with a limited number of rows; skipped
 * messages are counted.
 */
export class Tail {
  readonly rows = signal<readonly Row[]>([]);
  readonly paused = signal(false);
  /** Messages skipped because they came too fast, and those waiting while paused. */
  readonly skipped = signal(0);
  readonly waiting = signal(0);
  private incoming: Sized[] = [];
  private incomingSize = 0;
  /** Messages beyond the limit of a frame since the last one. */
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
    // Trims only at twice the limit, so that the array is copied once for many messages.
    if (this.incoming.length >= 2 * this.room || this.incomingSize > 2 * MAX_CHARACTERS) this.drop();
    if (this.isScheduled || this.isOver) return;
    this.isScheduled = true;
    this.schedule(() => this.flush());
  }

  /** Inserts older messages, oldest first, before all others. */
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

  /** The payload on one line. */
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

/** How many of the first items fit a count and {@link MAX_CHARACTERS}; at least one. */
function fitting(all: readonly { readonly size: number }[], most: number): number {
  let characters = 0;
  const beyond = all.findIndex(({ size }, index) => {
    characters += size;
    return index >= most || (characters > MAX_CHARACTERS && index > 0);
  });
  return beyond < 0 ? all.length : beyond;
}

/** The last items that fit a count and {@link MAX_CHARACTERS}. */
function newest<T extends { readonly size: number }>(all: readonly T[], most: number): T[] {
  const last = all.slice(-most);
  return last.slice(last.length - fitting([...last].reverse(), most));
}

/** The sender: its name, else its subject, else its client id. */
function senderOf({ from, metadata }: Envelope): string {
  const { name, subject } = metadata?.sender ?? {};
  return visibleLine(name ?? subject ?? from ?? 'unknown', 80);
}
