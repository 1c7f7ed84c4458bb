import type { Envelope } from '@arqonbus/protocol';

/** How a stream ended. `orphaned`: its writer was silent for too long, or its node died. */
export type StreamOutcome = 'complete' | 'cancelled' | 'failed' | 'orphaned';

/** The stream facts in a piece or in the final event: `metadata.stream`. */
export interface StreamMark {
  readonly id: string;
  /** Offset of its text in the stream's text, in UTF-16 units. */
  readonly offset: number;
  readonly state: 'streaming' | StreamOutcome;
  /** On the end: the whole text differs from the pieces, because a hook or the content policy changed it. */
  readonly revised?: true;
}

/** Prefix of the ids of events that end streams; other ids with this prefix are distinguished by the mark. */
export const END_ID = 'arq_stream_';

/** The mark at the end of an envelope, where only the server writes. */
const TAIL =
  /"stream":(\{"id":"[\w.-]{1,64}","offset":\d{1,10},"state":"[a-z]{1,16}"(?:,"revised":true)?\})(?:,"sequence":\d+,"epoch":"[\w-]*")?\}\}$/;
const TAIL_LENGTH = 500;

/** The mark as a member of JSON text; the last one that the server writes into the metadata. */
export function markText({ id, offset, state, revised }: StreamMark): string {
  return `"stream":${JSON.stringify({ id, offset, state, ...(revised === true && { revised }) })}`;
}

/** The mark of an envelope's text; null without one. */
export function readMark(text: string): StreamMark | null {
  const [, mark] = TAIL.exec(text.slice(-TAIL_LENGTH)) ?? [];
  return mark === undefined ? null : (JSON.parse(mark) as StreamMark);
}

/** The text in a stream's envelope. */
export function textOf(envelope: string): string {
  const { text } = (JSON.parse(envelope) as Envelope).payload;
  return typeof text === 'string' ? text : '';
}

/** The same envelope with its text cut to start at `offset`, an offset in the stream's text. */
export function cutTo(envelope: string, offset: number): string {
  const { metadata, payload, ...rest } = JSON.parse(envelope) as Envelope;
  const mark = metadata?.stream as StreamMark;
  const text = typeof payload.text === 'string' ? payload.text.slice(offset - mark.offset) : '';
  return JSON.stringify({
    ...rest,
    payload: { ...payload, text },
    metadata: { ...metadata, stream: { ...mark, offset } },
  });
}
