import {
  ACTIONS,
  type Action,
  API_KEY_SUBJECT,
  type Grants,
  grantsOf,
  MAX_SUBJECT_LENGTH,
  type Principal,
  UNPRINTABLE,
} from '@arqonbus/bus';
import { isChannelName, isChannelPattern, isRoomName, type Role, WILDCARD } from '@arqonbus/protocol';

/** The decoded payload of a token: arbitrary JSON from its issuer. */
export type Claims = Readonly<Record<string, unknown>>;

/** A claim that this server does not accept. The message names the claim and its rule, never the value. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';
}

/** Maximum entries of a `publish` or `subscribe` claim. */
export const MAX_GRANTS = 100;
/** Maximum length of a glob in a grant, in characters. */
export const MAX_GRANT_LENGTH = 260;
/** Maximum entries of a `join` claim. */
export const MAX_JOINS = 50;
/** Maximum length of `name`, in UTF-16 units. */
const MAX_NAME_LENGTH = 256;

const ROLES: readonly string[] = ['guest', 'user', 'admin'] satisfies readonly Role[];
const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/**
 * One colon, with only name characters and stars around it. Every address also has exactly one colon, so a star never
 * matches across it from the room into the channel.
 */
const GRANT = /^[A-Za-z0-9._*-]+:[A-Za-z0-9._/*-]+$/;
/** Grants that are not about channels: subjects, and `namespace/key` of the store. */
const SYNTAX: Readonly<Partial<Record<Action, RegExp>>> = {
  private: /^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+$/u,
  store_read: /^[A-Za-z0-9._/*-]+\/[^\p{Cc}\p{Cs}]+$/u,
  store_write: /^[A-Za-z0-9._/*-]+\/[^\p{Cc}\p{Cs}]+$/u,
};
/** Maximum time of an ECMAScript Date, in milliseconds. */
const MAX_TIME = 8.64e15;
/** Allowed clock difference between issuer and server for `exp`, `nbf` and `iat`, in seconds. */
export const CLOCK_LEEWAY_SECONDS = 30;

/**
 * Builds a principal from verified claims (PROTOCOL section 7). Deliberately strict: a claim of the wrong type refuses
 * the token, because its issuer intended a restriction that cannot be read. `null` is a wrong type, not an absent
 * claim. Does not check signature, issuer, audience or times; the expiry is `exp` plus {@link CLOCK_LEEWAY_SECONDS}.
 *
 * @throws {ClaimError} naming the first unacceptable claim.
 */
export function principalFromClaims(claims: Claims): Principal {
  const role = readRole(own(claims, 'role'));
  const tenant = readTenant(own(claims, 'tenant_id'));
  if (tenant === '*' && role !== 'admin') throw new ClaimError('"tenant_id" may be "*" only with the role admin');
  const tokenExpiresAt = readExpiry(own(claims, 'exp'));
  return {
    subject: readSubject(own(claims, 'sub')),
    name: readName(own(claims, 'name')),
    role,
    tenant: tenant === '*' ? 'default' : tenant,
    grants: readGrants(claims),
    // A connection may continue for the same leeway within which its token is still accepted.
    expiresAt: tokenExpiresAt === null ? null : tokenExpiresAt + CLOCK_LEEWAY_SECONDS * 1000,
    tokenExpiresAt,
    tokenId: readTokenId(own(claims, 'jti')),
    issuedAt: readIssuedAt(own(claims, 'iat')),
    ...readJoins(own(claims, 'join')),
    telemetry: readFlag('telemetry', own(claims, 'telemetry')),
    durable: readFlag('durable', own(claims, 'durable')),
    operator: tenant === '*',
  };
}

/** Own properties only: inherited ones are not claims. */
export function own(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function readRole(value: unknown): Role {
  if (value === undefined) return 'user';
  if (typeof value === 'string' && ROLES.includes(value)) return value as Role;
  throw new ClaimError('"role" must be guest, user or admin');
}

function readTenant(value: unknown): string {
  if (value === undefined) return 'default';
  if (typeof value === 'string' && (value === '*' || TENANT.test(value))) return value;
  throw new ClaimError(
    '"tenant_id" must be 1-128 letters, digits, ".", "_" or "-", starting with a letter or digit, or "*"',
  );
}

function readSubject(value: unknown): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string' || value === '' || value.length > MAX_SUBJECT_LENGTH || UNPRINTABLE.test(value)) {
    throw new ClaimError(`"sub" must be 1-${MAX_SUBJECT_LENGTH} characters without control characters`);
  }
  // Otherwise its bearer would share idempotency keys and owned jobs with the operator's API key.
  if (value === API_KEY_SUBJECT) throw new ClaimError(`"sub" must not be "${API_KEY_SUBJECT}": it is reserved`);
  return value;
}

/** Token ids are up to the issuer: an unusable one only means that the token cannot be revoked by id. */
function readTokenId(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** Already validated with the token's times. */
function readIssuedAt(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value * 1_000 : null;
}

/** The screen name of the bearer, overriding the one it sends. */
function readName(value: unknown): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string' || value === '' || value.length > MAX_NAME_LENGTH || UNPRINTABLE.test(value)) {
    throw new ClaimError(`"name" must be 1-${MAX_NAME_LENGTH} characters without control characters`);
  }
  return value;
}

/**
 * Reads `grants`, lists of globs by action, and the older claims `publish` and `subscribe`, which are shorthands:
 * subscribing to a channel includes its history and presence. A token with any of the three may do only what they list.
 */
function readGrants(claims: Claims): Grants | null {
  const [given, publish, subscribe] = ['grants', 'publish', 'subscribe'].map((name) => own(claims, name));
  if (given === undefined && publish === undefined && subscribe === undefined) return null;
  const lists: Partial<Record<Action, readonly string[]>> = {};
  if (given !== undefined) {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) {
      throw new ClaimError('"grants" must be an object of lists');
    }
    for (const [action, list] of Object.entries(given)) {
      if (!isAction(action)) throw new ClaimError(`"grants" must list ${ACTIONS.join(', ')} only`);
      lists[action] = readList(`grants.${action}`, list, SYNTAX[action] ?? GRANT);
    }
  }
  const add = (action: Action, list: readonly string[]): void => {
    lists[action] = [...(lists[action] ?? []), ...list];
  };
  if (publish !== undefined) add('publish', readList('publish', publish, GRANT));
  if (subscribe !== undefined) {
    const list = readList('subscribe', subscribe, GRANT);
    for (const action of ['subscribe', 'history', 'presence'] as const) add(action, list);
  }
  return grantsOf(lists);
}

function readList(name: string, value: unknown, syntax: RegExp): readonly string[] {
  const isGlob = (one: unknown): one is string =>
    typeof one === 'string' && one.length <= MAX_GRANT_LENGTH && syntax.test(one);
  if (!Array.isArray(value) || value.length > MAX_GRANTS || !value.every(isGlob)) {
    const form = syntax === GRANT ? ' "room:channel"' : '';
    throw new ClaimError(
      `"${name}" must be a list of at most ${MAX_GRANTS} globs${form} of at most ${MAX_GRANT_LENGTH} characters`,
    );
  }
  return value;
}

function isAction(name: string): name is Action {
  return (ACTIONS as readonly string[]).includes(name);
}

/** Channels its bearer joins on connect, as far as its grants allow. */
function readJoins(value: unknown): Pick<Principal, 'join'> {
  if (value === undefined) return {};
  const places = Array.isArray(value) && value.length <= MAX_JOINS ? value.map(readPlace) : [null];
  const join = places.filter((place) => place !== null);
  if (join.length === places.length) return { join };
  throw new ClaimError(
    `"join" must be a list of at most ${MAX_JOINS} strings "room:channel", where the channel may be "*" or a pattern`,
  );
}

function readPlace(value: unknown): { readonly room: string; readonly channel: string } | null {
  const [room = '', channel = '', ...more] = typeof value === 'string' ? value.split(':') : [];
  const isChannel = channel === WILDCARD || isChannelName(channel) || isChannelPattern(channel);
  return isRoomName(room) && isChannel && more.length === 0 ? { room, channel } : null;
}

function readExpiry(value: unknown): number | null {
  if (value === undefined) return null;
  // JSON numbers can exceed any valid time (1e999 is Infinity), and must not be used for timers.
  if (typeof value !== 'number' || !(Math.abs(value * 1000) <= MAX_TIME - CLOCK_LEEWAY_SECONDS * 1000)) {
    throw new ClaimError('"exp" must be a time in seconds since 1970');
  }
  return Math.floor(value * 1000);
}

function readFlag(name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value === 'boolean') return value;
  throw new ClaimError(`"${name}" must be true or false`);
}
