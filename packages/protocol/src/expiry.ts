import type { Envelope } from './envelope.ts';
import { parseTimestamp } from './time.ts';

const METADATA = '"metadata":{';
const MARK = '"expires_at":"';

/**
 * Whether a message has expired (`options.ttl_seconds`). Metadata is the end of a text, and the server's part is
 * the end of the metadata. Only that part is searched, for any size of payload, and parsed only if it has the mark.
 *
 * @param text of {@link seal}, {@link sealUnstored} or {@link encode}
 * @param now milliseconds since 1970
 */
export function isExpired(text: string, now: number): boolean {
  return expiryOf(text) <= now;
}

/** When a message expires, in milliseconds since 1970; `Infinity`: never. `text` is as for {@link isExpired}. */
export function expiryOf(text: string): number {
  const at = text.lastIndexOf(METADATA);
  if (at < 0 || !text.includes(MARK, at)) return Number.POSITIVE_INFINITY;
  const { metadata } = JSON.parse(text) as Envelope;
  const end = typeof metadata?.expires_at === 'string' ? parseTimestamp(metadata.expires_at) : undefined;
  return end ?? Number.POSITIVE_INFINITY;
}
