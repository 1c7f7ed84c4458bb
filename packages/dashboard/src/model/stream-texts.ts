import type { Envelope } from '@arqonbus/protocol';
import { signal } from '@preact/signals';
import type { Schedule } from './tail.ts';

/** The displayed part of a token stream. */
export interface StreamText {
  /** The end of its text. */
  readonly text: string;
  /** Total length, in UTF-16 units. */
  readonly length: number;
  /** `streaming`, or how it ended. */
  readonly state: string;
}

/** Maximum UTF-16 units kept of one stream, and maximum streams. */
const MAX_UNITS = 20_000;
const MAX_STREAMS = 100;

/** The token streams of a channel, assembled from their chunks; updated once per frame. */
export class StreamTexts {
  readonly shown = signal<ReadonlyMap<string, StreamText>>(new Map());
  private readonly texts: Map<string, StreamText> = new Map();
  private isScheduled = false;
  private readonly schedule: Schedule;

  constructor(schedule: Schedule = (run) => requestAnimationFrame(run)) {
    this.schedule = schedule;
  }

  /** Adds a chunk, or the event that ends a stream; ignores everything else. */
  take({ payload, metadata }: Envelope): void {
    const { id, offset, state } = (metadata?.stream ?? {}) as { id?: unknown; offset?: unknown; state?: unknown };
    const { text } = payload;
    if (typeof id !== 'string' || typeof offset !== 'number' || typeof state !== 'string' || typeof text !== 'string')
      return;
    const known = this.texts.get(id) ?? { text: '', length: 0, state: 'streaming' };
    const end = offset + text.length;
    const isWhole = offset === 0 && end >= known.length;
    const added = isWhole ? text : text.slice(Math.max(0, known.length - offset));
    const grown = isWhole ? text : known.text + added;
    // The stream with the oldest update is removed first.
    this.texts.delete(id);
    this.texts.set(id, { text: grown.slice(-MAX_UNITS), length: Math.max(known.length, end), state });
    const [oldest = ''] = this.texts.keys();
    if (this.texts.size > MAX_STREAMS) this.texts.delete(oldest);
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.schedule(() => {
      this.isScheduled = false;
      this.shown.value = new Map(this.texts);
    });
  }
}
