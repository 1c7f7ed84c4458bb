import { isChannelName, isRoomName, PRIVATE_CHANNEL } from '@arqonbus/protocol';
import { type Kind, list, type Parsed, parseJson, splitAndTrim, text, textKind } from './kinds.ts';

const HOST = /^[A-Za-z0-9.:_%-]{1,255}$/;
const HOST_GLOB = /^[A-Za-z0-9*._:[\]-]{1,255}$/;

/** A host name or address to listen on. An IPv6 address may stand in brackets; they are taken off. */
export const host: Kind<string> = textKind(
  'a host name or an IP address',
  (value) => {
    const bare = value.trim().replace(/^\[(.+)\]$/, '$1');
    return HOST.test(bare) ? { ok: true, value: bare } : { ok: false };
  },
  (value) => value,
);

/** An absolute URL with a host and one of `schemes`. */
export function url(schemes: readonly string[]): Kind<string> {
  const accepts = (value: string): boolean => {
    if (!URL.canParse(value)) return false;
    const parsed = new URL(value);
    return schemes.includes(parsed.protocol.slice(0, -1)) && parsed.hostname !== '';
  };
  return text(`a URL that starts with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`, accepts);
}

/** Host names and globs of them, such as `*.example.com`. */
export const hostGlobs: Kind<readonly string[]> = list('host names or globs such as *.example.com', isHostGlob);

/** Origins (`https://app.example`) and host globs (`*.example.com`). */
export const origins: Kind<readonly string[]> = list(
  'origins such as https://app.example or host globs such as *.example.com',
  (item) => isOrigin(item) || isHostGlob(item),
);

function isHostGlob(item: string): boolean {
  return HOST_GLOB.test(item);
}

/** Scheme, host and port alone: an entry with a path or a trailing slash would never match an `Origin` header. */
function isOrigin(item: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+$/i.test(item) && URL.canParse(item);
}

export const roomName: Kind<string> = text('a room name (letters, digits, ".", "_", "-")', isRoomName);
export const channelName: Kind<string> = text('a channel name (letters, digits, ".", "_", "-", "/")', isChannelName);

type Rooms = Readonly<Record<string, readonly string[]>>;

/**
 * Rooms with their channels: `room:channel,channel;room:channel`, or a JSON object that starts with `{`; in a file a
 * mapping of rooms to lists. A room that is named twice gets the channels of both.
 */
export const rooms: Kind<Rooms> = {
  expected: 'rooms with their channels, as room:channel,channel;room:channel',
  fromText: (value) => {
    const trimmed = value.trim();
    if (trimmed.startsWith('{')) return roomsFrom(parseJson(trimmed));
    return collect(
      splitAndTrim(trimmed, ';').map((part) => {
        const colon = part.indexOf(':');
        const channels = colon < 0 ? [] : splitAndTrim(part.slice(colon + 1), ',');
        return [colon < 0 ? part : part.slice(0, colon).trim(), channels];
      }),
    );
  },
  fromFile: (value) => (typeof value === 'string' ? rooms.fromText(value) : roomsFrom(value)),
  format: (value) => {
    const parts = Object.entries(value).map(([room, channels]) => `${room}:${channels.join(',')}`);
    return parts.length === 0 ? '{}' : parts.join(';');
  },
};

function roomsFrom(value: unknown): Parsed<Rooms> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { ok: false };
  const entries = Object.entries(value);
  return entries.every((entry): entry is [string, unknown[]] => Array.isArray(entry[1]))
    ? collect(entries)
    : { ok: false };
}

function collect(entries: readonly (readonly [string, readonly unknown[]])[]): Parsed<Rooms> {
  const found = new Map<string, Set<string>>();
  for (const [room, channels] of entries) {
    if (!isRoomName(room) || channels.length === 0) return { ok: false };
    const names = found.get(room) ?? new Set();
    for (const channel of channels) {
      if (typeof channel !== 'string' || !isChannelName(channel) || channel === PRIVATE_CHANNEL) return { ok: false };
      names.add(channel);
    }
    found.set(room, names);
  }
  return { ok: true, value: Object.fromEntries([...found].map(([room, names]) => [room, [...names]])) };
}
