import type { MessageOptions, Metadata } from '@arqonbus/protocol';
import type { SenderMark } from './sender-mark.ts';

/** The server-written metadata of a message accepted at `now`: its sender, and what its options mean to receivers. */
export function marksOf({ record }: SenderMark, options: MessageOptions | undefined, now: number): Metadata {
  const marks: Metadata = { sender: record };
  if (options === undefined) return marks;
  const { ttl_seconds: ttl, receipt, request, clear } = options;
  if (ttl !== undefined) marks.expires_at = new Date(now + ttl * 1000).toISOString();
  if (clear === true) marks.clear = true;
  if (receipt !== undefined) marks.receipt = receipt;
  if (request !== undefined) marks.request = { deadline: new Date(now + request.timeout_ms).toISOString() };
  return marks;
}

/** The same as members of JSON text. Without options it is the sender's prepared text. */
export function marksText(mark: SenderMark, options: MessageOptions | undefined, now: number): string {
  return options === undefined ? mark.text : JSON.stringify(marksOf(mark, options, now)).slice(1, -1);
}
