import type { ClientType, SenderRecord } from '@arqonbus/protocol';
import type { Principal } from './principal.ts';

/** A sender as its receivers see it: `metadata.sender`, serialized once, since every message carries it. */
export interface SenderMark {
  readonly record: SenderRecord;
  /** The same as a member of JSON text: `"sender":{…}`. */
  readonly text: string;
}

/** The last mark created: consecutive connections often have equal marks, and then share it. */
let last: SenderMark | null = null;

/** The mark of a sender. `name` is the name it chose; a name fixed by its token takes precedence. */
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
  // The comparison also flattens the concatenated string.
  if (last?.text !== text) last = { record: Object.freeze(record), text };
  return last;
}
