import { BusError, newSecretId, parseAddress, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Access } from '../../access.ts';
import { PLACE } from '../../commands/arguments.ts';
import type { Sender } from '../../connection/session.ts';
import { checkDestination, type HostTest } from '../../outbound/destination.ts';
import { signingKey } from '../../outbound/signature.ts';
import { RULE_EVENTS, type Rule, type RuleEvent } from './rule.ts';

const MAX_URL = 2_048;
const MIN_TIMEOUT_SECONDS = 0.1;
const MAX_TIMEOUT_SECONDS = 30;
const DEFAULT_TIMEOUT_SECONDS = 2;
const MAX_HEADERS = 32;

/** Arguments of `op.webhook.register`. */
export interface Registration {
  readonly url: string;
  readonly room?: string;
  readonly channel?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeout_seconds?: number;
  readonly secret?: string;
  readonly durable?: boolean;
  readonly on?: readonly RuleEvent[];
}

export const REGISTRATION: z.ZodType<Registration> = z.strictObject({
  url: z.string().min(1).max(MAX_URL).describe('The destination: an http or https URL of a public host.'),
  room: PLACE.room.describe('Only events of this room, or of room:channel; without it all rooms (admins).'),
  channel: PLACE.channel.describe('Only events of this channel of the room.'),
  headers: z
    .record(z.string(), z.string())
    .describe(`Headers to send along, name to value; at most ${MAX_HEADERS}.`)
    .meta({ secret: true, maxProperties: MAX_HEADERS })
    .exactOptional(),
  timeout_seconds: z
    .number()
    .min(MIN_TIMEOUT_SECONDS)
    .max(MAX_TIMEOUT_SECONDS)
    .describe(`How long a request may take; ${DEFAULT_TIMEOUT_SECONDS} unless given.`)
    .exactOptional(),
  secret: z
    .string()
    .describe('Signs requests: whsec_ and the base64 of 24 to 64 random bytes.')
    .meta({ secret: true })
    .exactOptional(),
  durable: z.boolean().describe('Outlives your connections, and restarts where storage does (admins).').exactOptional(),
  on: z
    .array(z.enum(RULE_EVENTS))
    .min(1)
    .max(RULE_EVENTS.length)
    .describe('What to report: messages (default), or who joins and leaves, which needs the grant `presence`.')
    .exactOptional(),
});

/**
 * Creates a rule from the arguments. Throws VALIDATION_ERROR naming the argument, or AUTHORIZATION_ERROR when it covers
 * more than its owner may read.
 */
export function ruleOf(args: Registration, sender: Sender, access: Access, allowed: HostTest, now: number): Rule {
  const { principal, identity } = sender;
  const { room, channel } = placeOf(args);
  const on = RULE_EVENTS.filter((one) => (args.on ?? ['message']).includes(one));
  if (on.includes('message')) access.require(principal, 'subscribe', room ?? WILDCARD, channel ?? WILDCARD);
  if (on.some((one) => one !== 'message')) {
    access.require(principal, 'presence', room ?? WILDCARD, channel ?? WILDCARD);
  }
  const durable = args.durable ?? false;
  if (durable && !access.mayMakeDurable(principal)) {
    throw new BusError('AUTHORIZATION_ERROR', 'A durable webhook needs the role admin, or a token with "durable".', {
      field: 'durable',
      required_role: 'admin',
    });
  }
  return {
    id: newSecretId('whk_'),
    tenant: principal.tenant,
    url: checkDestination(args.url, allowed),
    room,
    channel,
    headers: checkHeaders(args.headers ?? {}),
    timeoutSeconds: args.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS,
    key: args.secret === undefined ? null : signingKey(args.secret),
    owner: identity,
    ownerName: principal.subject ?? sender.id,
    durable,
    createdAt: new Date(now).toISOString(),
    on,
  };
}

/** Names, `room:channel` in either argument, or wildcards; null means all. A channel requires its room. */
function placeOf(args: Registration): { room: string | null; channel: string | null } {
  const { room, channel } = parseAddress(args.room, args.channel);
  if (room === undefined && channel !== undefined && channel !== WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'Name the room of the channel.', {
      field: 'room',
      expected: 'name, or room:channel',
    });
  }
  return { room: orNull(room), channel: orNull(channel) };
}

function orNull(name: string | undefined): string | null {
  return name === undefined || name === WILDCARD ? null : name;
}

const MAX_HEADER_BYTES = 4_096;
/** A token of RFC 9110 section 5.6.2. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Visible ASCII, space, tab and octets from 0x80: no line ends or other control characters. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Headers of one connection (RFC 9110 section 7.6.1), and those that the delivery sets. */
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
 * most 4 KiB. Throws VALIDATION_ERROR naming the header; its message never contains a value.
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
