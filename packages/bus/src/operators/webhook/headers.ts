import { BusError } from '@arqonbus/protocol';

const MAX_HEADERS = 32;
const MAX_HEADER_BYTES = 4_096;
/** A token of RFC 9110 section 5.6.2. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Visible ASCII, space, tab and the octets above: neither line ends nor other control characters. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** What belongs to one connection (RFC 9110 section 7.6.1), or what the delivery itself sets. */
const RESERVED: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'content-length',
  'content-type',
]);

/**
 * The headers that a rule adds to its requests, as name and value pairs. At most 32, each name and value together at
 * most 4 KiB. Throws VALIDATION_ERROR naming the header; its message never repeats a value.
 */
export function checkHeaders(given: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  const headers = Object.entries(given);
  if (headers.length > MAX_HEADERS) throw refused('headers', `A webhook sends at most ${MAX_HEADERS} headers.`);
  const names = new Set<string>();
  return headers.map(([name, value]) => {
    const lower = name.toLowerCase();
    const field = `headers.${name.slice(0, 64)}`;
    if (!NAME.test(name)) throw refused(field, 'A header name is letters, digits and "!#$%&\'*+-.^_`|~".');
    if (RESERVED.has(lower) || lower.startsWith('webhook-')) throw refused(field, `${name} is set by the delivery.`);
    if (names.has(lower)) throw refused(field, `${name} is named twice.`);
    if (name.length + value.length > MAX_HEADER_BYTES)
      throw refused(field, `A header is at most ${MAX_HEADER_BYTES} bytes.`);
    if (!VALUE.test(value)) throw refused(field, `The value of ${name} has characters that a header cannot carry.`);
    names.add(lower);
    return [name, value.trim()] as const;
  });
}

function refused(field: string, message: string): BusError {
  return new BusError('VALIDATION_ERROR', message, { field });
}
