import type { Envelope } from './envelope.ts';
import { parseTimestamp } from './time.ts';

const METADATA = '"metadata":{';
const MARK = '"expires_at":"';

/**
 * Whether the time of a message (`options.ttl_seconds`) is over. Metadata is the end of a text, and the server's part of
 * it the end of that: only so much is searched, whatever the size of the payload. Only what has the mark is parsed.
 *
 * @param text of {@link seal}, {@link sealUnstored} or {@link encode}
 * @param now milliseconds since 1970
 */
export function isExpired(text: string, now: number): boolean {
  const at = text.lastIndexOf(METADATA);
  if (at < 0 || !text.includes(MARK, at)) return false;
  const { metadata } = JSON.parse(text) as Envelope;
  const end = typeof metadata?.expires_at === 'string' ? parseTimestamp(metadata.expires_at) : undefined;
  return end !== undefined && end <= now;
}
