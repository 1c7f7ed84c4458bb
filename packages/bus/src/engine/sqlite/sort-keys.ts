/**
 * Encodes a key so that SQLite's byte order is JavaScript's code-unit order, and every string is preserved: SQLite
 * would order UTF-8 by code point, end a text at NUL and replace lone surrogates. Four hex digits per code unit.
 */
export function toSortKey(key: string): string {
  return Buffer.from(key, 'utf16le').swap16().toString('hex');
}

export function fromSortKey(spelled: string): string {
  return Buffer.from(spelled, 'hex').swap16().toString('utf16le');
}

/** The first text after all keys that start with `spelled`: no hex digit sorts after `f`. */
export function endOfPrefix(spelled: string): string {
  return `${spelled}g`;
}
