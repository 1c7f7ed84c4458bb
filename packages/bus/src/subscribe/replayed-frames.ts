import { expiryOf, markReplayed } from '@arqonbus/protocol';
import { frameText } from '../connection/frame.ts';

/** A stored event as replays send it. */
export interface ReplayedFrame {
  /** Of its text, marked as replayed. */
  readonly frame: Buffer;
  /** When it expires, in milliseconds since 1970; `Infinity`: never. */
  readonly expiry: number;
}

/** How long frames are kept, in milliseconds. */
const KEPT_MS = 1_000;
/** Approximate memory for them; further frames are made for one replay only. */
const MAX_BYTES = 8 * 1_048_576;

/**
 * The frames of recently replayed events. After an outage thousands of members replay the same events at the same time;
 * each event is framed once for all of them. The whole text is the key, so that a frame can never be that of another event.
 */
export class ReplayedFrames {
  private readonly byText: Map<string, ReplayedFrame> = new Map();
  private bytes = 0;

  /** The frame of a stored event. */
  of(text: string): ReplayedFrame {
    return this.byText.get(text) ?? this.make(text);
  }

  private make(text: string): ReplayedFrame {
    const made = { frame: frameText(markReplayed(text)), expiry: expiryOf(text) };
    // A character takes two bytes at most.
    const bytes = 2 * text.length + made.frame.length;
    if (this.bytes + bytes > MAX_BYTES) return made;
    if (this.bytes === 0) setTimeout(() => this.forget(), KEPT_MS).unref();
    this.byText.set(text, made);
    this.bytes += bytes;
    return made;
  }

  private forget(): void {
    this.byText.clear();
    this.bytes = 0;
  }
}
