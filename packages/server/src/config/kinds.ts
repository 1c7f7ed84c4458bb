import { isChannelName, isRoomName, PRIVATE_CHANNEL } from '@arqonbus/protocol';

// Without zod: every CLI run loads the table of settings, and loading zod takes longer than everything else.

/** The result of parsing a value. The error sentence is built from {@link Kind.expected}. */
type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false };

/**
 * A kind of setting: how a value is parsed and formatted. `read(format(v))` is `v` for every accepted value.
 *
 * `format` is a property, not a method, so that a kind for only some values of a type is not assignable to a kind for
 * all of them.
 */
export interface Kind<T> {
  /** Completes the sentence "expected …". */
  readonly expected: string;
  /** Parses the text of a flag or variable, or a value from a file. */
  readonly read: (value: unknown) => Parsed<T>;
  readonly format: (value: T) => string;
}

const FAILED: Parsed<never> = { ok: false };
const CONTROL = /\p{Cc}/u;

/** `value` if `isGood`, else a failure. */
function good<T>(value: T, isGood: boolean): Parsed<T> {
  return isGood ? { ok: true, value } : FAILED;
}

/** Text that satisfies `accepts`. Control characters are refused: they would corrupt logs and headers. */
export function text(expected: string, accepts: (text: string) => boolean = () => true): Kind<string> {
  return {
    expected,
    read: (value) => (typeof value === 'string' ? good(value, !CONTROL.test(value) && accepts(value)) : FAILED),
    format: (value) => value,
  };
}

/** As `kind`, but may be empty, which means "not set". */
export function optional(kind: Kind<string>): Kind<string> {
  return { ...kind, read: (value) => (value === '' ? { ok: true, value } : kind.read(value)) };
}

/** One of `values`, case-insensitive; `aliases` are additional names for some of them. */
export function choice<T extends string>(values: readonly T[], aliases: Readonly<Record<string, T>> = {}): Kind<T> {
  const named = values.filter((value) => value !== '');
  return {
    expected: `one of ${named.join(', ')}`,
    read: (value) => {
      const given = word(value) ?? '';
      const found =
        values.find((candidate) => candidate.toLowerCase() === word(value)) ??
        new Map(Object.entries(aliases)).get(given);
      return found === undefined ? FAILED : { ok: true, value: found };
    },
    format: (value) => value,
  };
}

/** An integer, limits included. */
export function integer(min: number, max: number): Kind<number> {
  return numeric(
    `a whole number from ${min} to ${max}`,
    /^\d+$/,
    (n) => Number.isSafeInteger(n) && n >= min && n <= max,
  );
}

/** A decimal number, limits included. */
export function decimal(min: number, max: number): Kind<number> {
  return numeric(`a number from ${min} to ${max}`, /^\d+(\.\d+)?$/, (n) => n >= min && n <= max);
}

function numeric(expected: string, shape: RegExp, accepts: (n: number) => boolean): Kind<number> {
  return {
    expected,
    read: (value) => {
      // Normalizes -0 from a file to 0.
      if (typeof value === 'number') return good(value + 0, accepts(value));
      return shape.test(word(value) ?? '') ? good(Number(value), accepts(Number(value))) : FAILED;
    },
    format: decimalText,
  };
}

/** Never in exponent notation, which the settings do not accept. */
function decimalText(n: number): string {
  const written = String(n);
  return written.includes('e') ? n.toFixed(20).replace(/\.?0+$/, '') : written;
}

const TRUE: readonly unknown[] = [true, 1, 'true', '1', 'yes', 'on'];
const FALSE: readonly unknown[] = [false, 0, 'false', '0', 'no', 'off'];

/** `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, case-insensitive. */
export const boolean: Kind<boolean> = {
  expected: 'true or false (or 1/0, yes/no, on/off)',
  read: (value) => {
    const given = word(value) ?? value;
    return good(TRUE.includes(given), TRUE.includes(given) || FALSE.includes(given));
  },
  format: String,
};

/** A port to listen on; 0 uses any free one. */
export const port: Kind<number> = integer(0, 65_535);

/** As {@link port}, or `off`. */
export const portOrOff: Kind<number | 'off'> = {
  expected: `${port.expected}, or off`,
  read: (value) => (word(value) === 'off' ? { ok: true, value: 'off' } : port.read(value)),
  format: String,
};

/**
 * A list: as text, comma-separated or a JSON array of strings that starts with `[` (for items with commas); in a file,
 * either of these or a list. Spaces around commas and empty items are ignored.
 */
export function list(
  what: string,
  accepts: (item: string) => boolean = () => true,
  maxItems = 1_000,
): Kind<readonly string[]> {
  const isItem = (item: unknown): boolean =>
    typeof item === 'string' && item !== '' && !CONTROL.test(item) && accepts(item);
  const read = (value: unknown): Parsed<readonly string[]> => {
    const items = typeof value === 'string' ? (parseJson(value, '[') ?? splitAndTrim(value, ',')) : value;
    return Array.isArray(items) ? good(items, items.length <= maxItems && items.every(isItem)) : FAILED;
  };
  return {
    expected: `${what}, separated by commas or as a JSON array`,
    read,
    format: (items) => {
      const plain = items.join(',');
      const again = read(plain);
      const survives = items.length > 0 && again.ok && JSON.stringify(again.value) === JSON.stringify(items);
      return survives ? plain : JSON.stringify(items);
    },
  };
}

/** A list of JSON objects: as text a JSON array, in a file a list. The objects themselves are validated elsewhere. */
export const jsonList: Kind<readonly unknown[]> = {
  expected: 'a JSON array of objects',
  read: (value) => {
    const items = typeof value === 'string' ? parseJson(value, '[') : value;
    const isObject = (item: unknown): boolean => typeof item === 'object' && item !== null && !Array.isArray(item);
    return Array.isArray(items) ? good(items, items.every(isObject)) : FAILED;
  },
  format: (items) => JSON.stringify(items),
};

const HOST = /^[A-Za-z0-9.:_%-]{1,255}$/;
const HOST_GLOB = /^[A-Za-z0-9*._:[\]-]{1,255}$/;

/** A host name or address to listen on. Brackets around an IPv6 address are removed. */
export const host: Kind<string> = {
  expected: 'a host name or an IP address',
  read: (value) => {
    const bare = typeof value === 'string' ? value.trim().replace(/^\[(.+)\]$/, '$1') : '';
    return good(bare, HOST.test(bare));
  },
  format: (value) => value,
};

/** An absolute URL with a host and one of `schemes`. */
export function url(schemes: readonly string[]): Kind<string> {
  return text(`a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`, (value) => {
    const parsed = URL.canParse(value) ? new URL(value) : null;
    return parsed !== null && schemes.includes(parsed.protocol.slice(0, -1)) && parsed.hostname !== '';
  });
}

const SENTINEL_URL = /^(redis|valkey)s?\+sentinel:\/\/([^@/?#]*@)?[^@/?#,]+(,[^@/?#,]+)*\/[\w.-]+(\/\d*)?$/i;

/** Separates the URLs of a list; hosts of sentinels are separated by commas too. */
export const URL_SEPARATOR: RegExp = /\s*,\s*(?=[a-z]+(?:\+sentinel)?:\/\/)/i;

/** A {@link url} of one server, or sentinels with the name of a master; or several of these, separated by commas. */
export function redisUrl(schemes: readonly string[]): Kind<string> {
  const ofServer = url(schemes);
  return text(
    `${ofServer.expected}, or redis+sentinel://HOST,HOST/NAME, or several with commas between them`,
    (value) => value.split(URL_SEPARATOR).every((each) => SENTINEL_URL.test(each) || ofServer.read(each).ok),
  );
}

/** Host names, and globs such as `*.example.com`. */
export const hostGlobs: Kind<readonly string[]> = list('host names or globs such as *.example.com', isHostGlob);

/** Origins (`https://app.example`) and host globs (`*.example.com`). */
export const origins: Kind<readonly string[]> = list(
  'origins such as https://app.example or host globs such as *.example.com',
  (item) => isOrigin(item) || isHostGlob(item),
);

function isHostGlob(item: string): boolean {
  return HOST_GLOB.test(item);
}

/** Scheme, host and port only: an entry with a path or trailing slash would never match an `Origin` header. */
function isOrigin(item: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+$/i.test(item) && URL.canParse(item);
}

export const roomName: Kind<string> = text('a room name (letters, digits, ".", "_", "-")', isRoomName);
export const channelName: Kind<string> = text('a channel name (letters, digits, ".", "_", "-", "/")', isChannelName);

/**
 * Rooms with their channels: `room:channel,channel;room:channel`, or a JSON object that starts with `{`; in a file, a
 * mapping of rooms to lists. The channels of a repeated room are merged.
 */
export const rooms: Kind<Readonly<Record<string, readonly string[]>>> = {
  expected: 'rooms with their channels, as room:channel,channel;room:channel',
  read: (value) => {
    const entries = roomEntries(value);
    if (entries === null) return FAILED;
    const found = new Map<string, Set<string>>();
    for (const [room, channels] of entries) {
      if (!isRoomName(room) || !isListOfChannels(channels)) return FAILED;
      found.set(room, new Set([...(found.get(room) ?? []), ...channels]));
    }
    return { ok: true, value: Object.fromEntries([...found].map(([room, names]) => [room, [...names]])) };
  },
  format: (value) => {
    const parts = Object.entries(value).map(([room, channels]) => `${room}:${channels.join(',')}`);
    return parts.length === 0 ? '{}' : parts.join(';');
  },
};

/** Null if the value cannot contain rooms. */
function roomEntries(value: unknown): [room: string, channels: unknown][] | null {
  const given = typeof value === 'string' ? (parseJson(value, '{') ?? value) : value;
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return Object.entries(given);
  if (typeof given !== 'string') return null;
  return splitAndTrim(given, ';').map((part) => {
    const [room = '', ...channels] = part.split(':');
    return [room.trim(), splitAndTrim(channels.join(':'), ',')];
  });
}

function isListOfChannels(value: unknown): value is readonly string[] {
  const isName = (name: unknown): boolean =>
    typeof name === 'string' && isChannelName(name) && name !== PRIVATE_CHANNEL;
  return Array.isArray(value) && value.length > 0 && value.every(isName);
}

/** Trimmed lower-case text; undefined if the value is not text. */
function word(value: unknown): string | undefined {
  return typeof value === 'string' ? value.trim().toLowerCase() : undefined;
}

/** The trimmed, non-empty parts of `value`. */
function splitAndTrim(value: string, separator: string): string[] {
  return value
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Parses JSON text that starts with `bracket`; false if it is malformed, undefined if it starts otherwise. */
function parseJson(value: string, bracket: '[' | '{'): unknown {
  if (!value.trim().startsWith(bracket)) return undefined;
  try {
    return JSON.parse(value);
  } catch {
    return false;
  }
}
