import type { ClientType, SenderRecord } from '@arqonbus/protocol';
import type { Principal } from './principal.ts';

/** Who somebody is to the receivers of what it sends: `metadata.sender`, prepared once, since every message carries it. */
export interface SenderMark {
  readonly record: SenderRecord;
  /** The same as a member of JSON text: `"sender":{…}`. */
  readonly text: string;
}

/** The last mark that was made: connections that come one after the other are often known alike, and share it then. */
let last: SenderMark | null = null;

/** The mark of a sender. `name` is how it wants to be known; a name that its token fixes counts before it. */
export function senderMark(
  { subject, role, name: fixed }: Principal,
  type: ClientType = 'service',
  name: string | null = null,
): SenderMark {
  const shown = fixed ?? name;
  const record: SenderRecord = {
    ...(subject === null ? {} : { subject }),
    ...(shown === null ? {} : { name: shown }),
    type,
    role,
  };
  const text = `"sender":${JSON.stringify(record)}`;
  // Compared, it is one piece of text as well, and no longer put together from several.
  if (last?.text !== text) last = { record: Object.freeze(record), text };
  return last;
}
