import {
  BusError,
  checkJson,
  checkMetadata,
  checkOptions,
  isId,
  isRoomName,
  type JsonObject,
  type MessageOptions,
  type Metadata,
  newId,
  parseAddress,
  ROLES,
  type SendOptions,
  WILDCARD,
  wireOptions,
} from '@arqonbus/protocol';
import type { GivenPrincipal, PublishOptions } from './create-options.ts';
import type { Awaitable } from './engine/engine.ts';
import {
  ACTIONS,
  type GrantLists,
  grantsOf,
  isSubject,
  type Principal,
  principalOf,
  type Verification,
} from './principal.ts';
import type { Message } from './publish.ts';
import { serverPrincipal } from './system-sender.ts';

/** Timeout of the `authenticate` and `refresh` hooks, in milliseconds. */
const WHO_MS = 10_000;

/**
 * Runs an authentication hook and validates its result; AUTHENTICATION_FAILED becomes a refusal. Rejects with an Error
 * for an invalid principal, and after 10 s without a result, since a pending connection counts against limits.
 */
export async function verification(who: () => Awaitable<GivenPrincipal>, now: () => number): Promise<Verification> {
  try {
    const principal = readPrincipal(await inTime(who()));
    const { expiresAt } = principal;
    if (expiresAt === null || expiresAt > now()) return { ok: true, principal };
    return { ok: false, reason: 'token expired', internal: 'the principal of "authenticate" has expired' };
  } catch (error) {
    if (!(error instanceof BusError) || error.code !== 'AUTHENTICATION_FAILED') throw error;
    return { ok: false, reason: error.message, internal: error.code };
  }
}

async function inTime(who: Awaitable<GivenPrincipal>): Promise<GivenPrincipal> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`The hook that says who somebody is has not answered within ${WHO_MS / 1_000} s.`));
    }, WHO_MS);
  });
  try {
    return await Promise.race([who, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Validates a principal strictly: an invalid one could be admitted with unintended rights. */
function readPrincipal(given: unknown): Principal {
  if (!isRecord(given)) throw unfit('an object like {subject, role, tenant, grants}');
  const { grants = null, ...others } = withoutUndefined(given);
  const {
    subject = null,
    name = null,
    role = 'user',
    tenant = 'default',
    expiresAt = null,
  } = others as Record<string, unknown>;
  if (subject !== null && !(typeof subject === 'string' && isSubject(subject))) {
    throw unfit('a "subject" of 1-256 printable characters, or null');
  }
  if (name !== null && typeof name !== 'string') throw unfit('a "name" that is a text, or null');
  if (!ROLES.some((one) => one === role)) throw unfit(`a "role" of ${ROLES.join(', ')}`);
  if (typeof tenant !== 'string' || !(isRoomName(tenant) || tenant === WILDCARD)) {
    throw unfit('a "tenant" of 1-128 letters, digits, ".", "_" or "-"');
  }
  if (expiresAt !== null && !(typeof expiresAt === 'number' && Number.isFinite(expiresAt))) {
    throw unfit('"expiresAt" in milliseconds since 1970, or null');
  }
  if (grants !== null && !areGrants(grants)) {
    throw unfit(`"grants" that list globs for any of ${ACTIONS.join(', ')}`);
  }
  return principalOf({ ...(others as Partial<Principal>), grants: grants === null ? null : grantsOf(grants) });
}

function areGrants(grants: unknown): grants is GrantLists {
  if (!isRecord(grants)) return false;
  return Object.entries(grants).every(([action, globs]) => {
    if (!ACTIONS.some((one) => one === action)) return false;
    if (isRecord(globs)) return typeof globs.allows === 'function';
    return globs === undefined || (Array.isArray(globs) && globs.every((glob) => typeof glob === 'string'));
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unfit(expected: string): Error {
  return new Error(`The hook that says who somebody is has to answer ${expected}.`);
}

/** Removes keys whose value is undefined. */
export function withoutUndefined<T extends object>(given: T): T {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}

/** The validated arguments of `publish()`. */
interface GivenEvent {
  /** The `from` of the envelope. */
  readonly from: string;
  readonly principal: Principal;
  readonly event: Message;
}

/** Throws VALIDATION_ERROR for arguments that an envelope cannot carry. */
export function givenEvent(address: string, payload: JsonObject, options: PublishOptions): GivenEvent {
  if (!isRecord(options as unknown)) throw invalid('options', 'of publish() have to be an object');
  const { as, tenant = 'default', id = newId(), metadata, ...rest } = options;
  checkGiven({ payload, id, tenant });
  const principal = serverPrincipal(tenant);
  const { room, channel } = parseAddress(checkAddress(address), undefined);
  const event: Message = {
    id,
    type: 'event',
    room,
    channel,
    payload: plainObject(payload, 'payload'),
    metadata: metadata === undefined ? undefined : ownMetadata(metadata),
    options: checkSendOptions(rest),
  };
  if (as === undefined) return { from: 'arqonbus', principal, event };
  return { from: `app:${checkName(as)}`, principal: { ...principal, subject: as }, event };
}

/** Checks that an address is a string. */
export function checkAddress(address: string): string {
  if (typeof address !== 'string') throw invalid('address', 'has to be a text like "room:channel"');
  return address;
}

function checkName(as: string): string {
  if (typeof as !== 'string' || !/^[A-Za-z0-9_:.-]{1,124}$/.test(as)) {
    throw invalid('as', 'is 1-124 letters, digits, "_", ".", ":" or "-"');
  }
  return as;
}

function ownMetadata(metadata: Metadata): Metadata | undefined {
  if (!isRecord(metadata as unknown)) throw invalid('metadata', 'must be an object');
  // A copy: the program may change its object afterwards.
  return checkMetadata({ ...plainObject(metadata, 'metadata') }, undefined);
}

/** Applies an object's own `toJSON` (a Date, a Decimal). */
function plainObject(value: JsonObject, field: string): JsonObject {
  const plain: unknown = typeof value.toJSON === 'function' ? JSON.parse(JSON.stringify(value)) : value;
  if (!isRecord(plain)) throw invalid(field, `becomes ${JSON.stringify(plain)} as JSON; send an object`);
  const sound = checkJson(plain as JsonObject, field);
  requireNoBigInt(sound, field);
  return sound;
}

/** The recursion ends: cycles and deep nesting have already been refused. */
function requireNoBigInt(value: object, field: string): void {
  for (const [key, item] of Object.entries(value)) {
    const place = `${field}.${key}`.slice(0, 140);
    if (typeof item === 'bigint') throw invalid(place, 'is a BigInt, which JSON cannot carry; send a number or a text');
    if (typeof item === 'object' && item !== null) requireNoBigInt(item, place);
  }
}

/** Throws VALIDATION_ERROR for arguments that an envelope cannot carry. */
function checkGiven({ payload, id, tenant }: { payload: unknown; id: string; tenant: string }): void {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw invalid('payload', 'must be an object; put other values into one, as in {"value": 7}');
  }
  if (!isId(id)) throw invalid('id', 'is "arq_" and 1-124 letters, digits, "_" or "-"');
  checkTenant(tenant);
}

/** The message options among those of `publish()`; unknown names are refused. */
function checkSendOptions(given: SendOptions): MessageOptions | undefined {
  const { ttlSeconds, expect, ephemeral, clear, deliverAt, delaySeconds, receipt, request, ...others } = given;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw invalid(unknown.slice(0, 140), 'is not an option of publish()');
  return checkOptions(wireOptions(given), 'event');
}

/** Tenant names follow the same syntax as room names. */
export function checkTenant(tenant: string): void {
  if (!isRoomName(tenant)) throw invalid('tenant', 'is 1-128 letters, digits, ".", "_" or "-"');
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
