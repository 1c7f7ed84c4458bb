/**
 * Spells a key so that SQLite's byte order is the code-unit order of JavaScript, and so that every string survives:
 * SQLite would order UTF-8 by code point, end a text at NUL and replace lone surrogates. Four hex digits a code unit.
 */
export function toSortKey(key: string): string {
  return Buffer.from(key, 'utf16le').swap16().toString('hex');
}

export function fromSortKey(spelled: string): string {
  return Buffer.from(spelled, 'hex').swap16().toString('utf16le');
}

/** The first text beyond all keys that start with `spelled`: no hex digit comes after `f`. */
export function endOfPrefix(spelled: string): string {
  return `${spelled}g`;
}
