import type { Envelope } from '@arqonbus/protocol';

/** How a stream ended. `orphaned`: its writer was gone for too long, or the node that had it. */
export type StreamOutcome = 'complete' | 'cancelled' | 'failed' | 'orphaned';

/** What a piece, or the whole, tells of its stream: `metadata.stream`. */
export interface StreamMark {
  readonly id: string;
  /** Where its text begins in that of the stream, in UTF-16 units. */
  readonly offset: number;
  readonly state: 'streaming' | StreamOutcome;
  /** On the end: the whole is not what was shown piece by piece, since a hook or the content policy changed it. */
  readonly revised?: true;
}

/** How the id of the event begins that ends a stream; what else begins so is told apart by its mark. */
export const END_ID = 'arq_stream_';

/** The mark as what closes an envelope, where only the server writes. */
const TAIL =
  /"stream":(\{"id":"[\w.-]{1,64}","offset":\d{1,10},"state":"[a-z]{1,16}"(?:,"revised":true)?\})(?:,"sequence":\d+,"epoch":"[\w-]*")?\}\}$/;
const TAIL_LENGTH = 500;

/** The mark as a member of JSON text; the last that the server writes into the metadata. */
export function markText({ id, offset, state, revised }: StreamMark): string {
  return `"stream":${JSON.stringify({ id, offset, state, ...(revised === true && { revised }) })}`;
}

/** The mark of an envelope's text; null where there is none. */
export function readMark(text: string): StreamMark | null {
  const [, mark] = TAIL.exec(text.slice(-TAIL_LENGTH)) ?? [];
  return mark === undefined ? null : (JSON.parse(mark) as StreamMark);
}

/** The text that an envelope of a stream carries. */
export function textOf(envelope: string): string {
  const { text } = (JSON.parse(envelope) as Envelope).payload;
  return typeof text === 'string' ? text : '';
}

/** The same envelope with what its text has from `offset` on, an offset in the stream's text. */
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
