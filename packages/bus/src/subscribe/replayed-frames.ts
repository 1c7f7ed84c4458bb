import { expiryOf, markReplayed } from '@arqonbus/protocol';
import { Frame, Run } from '../connection/frame.ts';
import type { StoredEvent } from '../engine/engine.ts';

/** A stored event as replays send it. */
export interface ReplayedFrame {
  /** Of its text, marked as replayed. */
  readonly frame: Frame;
  /** When it expires, in milliseconds since 1970; `Infinity`: never. */
  readonly expiry: number;
}

interface KnownRun {
  readonly events: readonly StoredEvent[];
  readonly run: Run;
}

/** How long frames are kept, in milliseconds. */
const KEPT_MS = 1_000;
/** Approximate memory for them; further frames are made for one replay only. */
const MAX_BYTES = 8 * 1_048_576;

/**
 * The frames of recently replayed events. After an outage thousands of members replay the same events at the same time;
 * each event is framed once for all of them, and frames that are read together are joined once. Whole texts are the
 * keys, so that a frame can never be that of another event.
 */
export class ReplayedFrames {
  private readonly byText: Map<string, ReplayedFrame> = new Map();
  /** By the text of their first event. */
  private readonly runs: Map<string, KnownRun> = new Map();
  private bytes = 0;

  /** The frame of a stored event. */
  of(text: string): ReplayedFrame {
    return this.byText.get(text) ?? this.make(text);
  }

  /** The frames of events read together; null if one expires, if they exceed `most` bytes, or if no memory is left. */
  runOf(events: readonly StoredEvent[], most: number): Run | null {
    const [first] = events;
    if (first === undefined) return null;
    const known = this.runs.get(first.text);
    if (known !== undefined && isSame(known.events, events)) return known.run.length > most ? null : known.run;
    const made = events.map(({ text }) => this.of(text));
    if (made.some(({ expiry }) => expiry !== Number.POSITIVE_INFINITY)) return null;
    const frames = made.map(({ frame }) => frame);
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    if (bytes > most || !this.mayKeep(bytes)) return null;
    const run = new Run(frames);
    this.runs.set(first.text, { events, run });
    return run;
  }

  private make(text: string): ReplayedFrame {
    const made = { frame: new Frame(markReplayed(text)), expiry: expiryOf(text) };
    // Both texts are kept, and a character takes two bytes at most.
    if (this.mayKeep(4 * text.length + made.frame.length)) this.byText.set(text, made);
    return made;
  }

  /** Reserves memory, until everything is forgotten. */
  private mayKeep(bytes: number): boolean {
    if (this.bytes + bytes > MAX_BYTES) return false;
    if (this.bytes === 0) setTimeout(() => this.forget(), KEPT_MS).unref();
    this.bytes += bytes;
    return true;
  }

  private forget(): void {
    this.byText.clear();
    this.runs.clear();
    this.bytes = 0;
  }
}

function isSame(one: readonly StoredEvent[], other: readonly StoredEvent[]): boolean {
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index += 1) if (one[index]!.text !== other[index]!.text) return false;
  return true;
}
