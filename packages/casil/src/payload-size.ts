/** Maximum length of a number in JSON. */
const NUMBER_BYTES = 25;
/** A lone surrogate or a control character becomes `\uXXXX`. */
const BYTES_PER_UNIT = 6;

/**
 * Whether the values certainly serialize to at most `limit` bytes together, without serializing them. False means
 * "perhaps more": then use {@link payloadBytes}.
 */
export function fitsFor(limit: number, payload: unknown, metadata?: unknown): boolean {
  const left = take(payload, limit);
  return metadata === undefined || left < 0 ? left >= 0 : take(metadata, left) >= 0;
}

/** UTF-8 bytes of the serialized payload. Throws what `JSON.stringify` throws. */
export function payloadBytes(payload: unknown): number {
  return Buffer.byteLength(JSON.stringify(payload) ?? '');
}

/** The rest of `room` after `value`; negative as soon as it is exceeded. */
function take(value: unknown, room: number): number {
  if (room < 0) return room;
  if (typeof value === 'string') return room - value.length * BYTES_PER_UNIT - 3;
  if (typeof value !== 'object' || value === null) return room - NUMBER_BYTES;
  let left = room - 2;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left >= 0; i++) left = take(value[i], left) - 1;
    return left;
  }
  // An object with `toJSON` can have any size.
  if ('toJSON' in value && typeof value.toJSON === 'function') return -1;
  for (const key of Object.keys(value)) {
    left = take((value as Record<string, unknown>)[key], left - key.length * BYTES_PER_UNIT - 4);
    if (left < 0) break;
  }
  return left;
}
