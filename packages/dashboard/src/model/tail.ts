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
}

/** Rows that are kept; older ones are read from history again. */
const MAX_ROWS = 5_000;
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
  private incoming: Envelope[] = [];
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
    this.incoming.push(envelope);
    // Twice the room, so that an array is moved once for many messages.
    if (this.incoming.length >= 2 * this.room) this.drop();
    if (this.isScheduled || this.isOver) return;
    this.isScheduled = true;
    this.schedule(() => this.flush());
  }

  /** Older messages, oldest first, before all that is shown. */
  prepend(envelopes: readonly Envelope[]): void {
    this.rows.value = [...envelopes.map((one) => this.rowOf(one)), ...this.rows.value].slice(0, MAX_ROWS);
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
    this.passed += this.incoming.length - this.room;
    this.incoming = this.incoming.slice(-this.room);
  }

  private flush(): void {
    this.isScheduled = false;
    if (this.isOver) return;
    if (this.incoming.length > this.room) this.drop();
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
    this.rows.value = [...this.rows.value, ...added].slice(-MAX_ROWS);
  }

  private rowOf(envelope: Envelope): Row {
    this.keys += 1;
    return { key: this.keys, envelope, sequence: envelope.metadata?.sequence, sender: senderOf(envelope) };
  }
}

/** Whom a message is from: the name, else the subject, else the connection. */
function senderOf({ from, metadata }: Envelope): string {
  const { name, subject } = metadata?.sender ?? {};
  return visibleLine(name ?? subject ?? from ?? 'unknown', 80);
}
