import type { Envelope } from '@arqonbus/protocol';
import { envelopeLine } from './envelope-line.ts';
import { type StyledText, text } from './styled-text.ts';

/** Maximum streams whose text is kept, and maximum UTF-16 units of each, which is the limit of the bus. */
const MOST_STREAMS = 100;
const MOST_UNITS = 1_048_576;

interface Mark {
  readonly id: string;
  readonly offset: number;
  readonly state: string;
}

/** Collects the texts of token streams, to show each on one line. */
export class GrowingTexts {
  /** By id, oldest first. */
  private readonly texts: Map<string, string> = new Map();

  /**
   * Processes an envelope: returns a line that replaces the previous one while the stream grows, the envelope with the
   * whole text once it has ended, or null if it is not part of a stream.
   */
  take(envelope: Envelope, columns: number): { readonly growing: StyledText } | { readonly whole: Envelope } | null {
    const mark = markOf(envelope);
    if (mark === undefined) return null;
    const { id, offset, state } = mark;
    const before = this.texts.get(id) ?? '';
    const all = (before.slice(0, offset) + String(envelope.payload.text)).slice(0, MOST_UNITS);
    this.texts.delete(id);
    if (state !== 'streaming') return { whole: { ...envelope, payload: { ...envelope.payload, text: all } } };
    this.texts.set(id, all);
    if (this.texts.size > MOST_STREAMS) this.texts.delete([...this.texts.keys()][0] as string);
    return { growing: lineOf(envelope, all, columns) };
  }
}

/** The sender and the end of the text, which is new, as far as it fits on a line. */
function lineOf(envelope: Envelope, all: string, columns: number): StyledText {
  const head = envelopeLine({ ...envelope, payload: {} });
  const room = Math.max(8, Math.min(columns, 400) - head.width - 1);
  let end = all.slice(-room);
  while (text`${end}`.width > room) end = end.slice(Math.ceil(end.length / 8));
  return text`${head} ${end}`.cut(columns - 1);
}

function markOf({ type, metadata, payload }: Envelope): Mark | undefined {
  const { id, offset, state } = Object(metadata?.stream) as Partial<Mark>;
  if (type !== 'event' || typeof payload?.text !== 'string') return undefined;
  if (typeof id !== 'string' || typeof state !== 'string' || !Number.isSafeInteger(offset)) return undefined;
  return { id, offset: Math.max(0, offset as number), state };
}
