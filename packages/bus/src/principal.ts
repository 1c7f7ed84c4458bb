import { compileGlobs, type Glob, type Role } from '@arqonbus/protocol';

/** The grantable actions. Addresses are `room:channel`, in the store `namespace/key`, and for `private` a subject. */
export const ACTIONS = [
  'publish',
  'subscribe',
  'history',
  'presence',
  'private',
  'store_read',
  'store_write',
  'group',
  'admin',
] as const;

export type Action = (typeof ACTIONS)[number];

/** A list of globs with its compiled test. */
interface Grant {
  readonly patterns: readonly string[];
  readonly allows: Glob;
}

/** The grants of a token by action; an action without an entry is not granted. */
export type Grants = Readonly<Partial<Record<Action, Grant>>>;

/** An authenticated caller, determined once on entry (PROTOCOL section 7). Permission checks go through `Access`. */
export interface Principal {
  /** The JWT `sub`; null when authentication is off or the token has none. */
  readonly subject: string | null;
  /** The screen name fixed by the token; without one the client chooses. */
  readonly name?: string | null;
  readonly role: Role;
  readonly tenant: string;
  /** Null allows everything in the tenant that the role allows. */
  readonly grants: Grants | null;
  /** When access ends, in milliseconds since 1970; null: never. For a token, its `exp` plus the leeway. */
  readonly expiresAt: number | null;
  /** The token's own `exp`, in milliseconds since 1970; this is what the client is told. */
  readonly tokenExpiresAt?: number | null;
  /** The token's `jti`, and its issue time in milliseconds since 1970; used for revocation. */
  readonly tokenId?: string | null;
  readonly issuedAt?: number | null;
  /** Memberships that its connections join as soon as they open. */
  readonly join?: readonly { readonly room: string; readonly channel: string }[];
  /** May watch telemetry without the admin role. */
  readonly telemetry: boolean;
  /** May create things that outlive its connections and its token; admins always may. */
  readonly durable: boolean;
  /** Has access to all tenants: the HTTP API key, an admin token of tenant `*`, or the anonymous admin on loopback. */
  readonly operator: boolean;
  /** Authentication is off: a client may name itself (`?subject=`). */
  readonly anonymous?: boolean;
}

/** Subject of callers with the HTTP API key; nobody else can have it. */
export const API_KEY_SUBJECT = 'http:api-key';
/** Longest subject, in UTF-16 units. */
export const MAX_SUBJECT_LENGTH = 256;
/** Control characters, line separators and lone surrogates, which could forge a log line or a frame. */
export const UNPRINTABLE: RegExp = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whether a subject is valid: 1-256 printable characters, and not that of the API key. */
export function isSubject(text: string): boolean {
  return text !== '' && text.length <= MAX_SUBJECT_LENGTH && !UNPRINTABLE.test(text) && text !== API_KEY_SUBJECT;
}

/** The result of checking a credential: its principal, or why it is refused. */
export type Verification =
  | { readonly ok: true; readonly principal: Principal }
  /** `reason` is shown to the client; `internal` is only logged. */
  | { readonly ok: false; readonly reason: string; readonly internal: string };

const RANK: Readonly<Record<Role, number>> = { guest: 0, user: 1, admin: 2 };

export function hasRole(principal: Pick<Principal, 'role'>, role: Role): boolean {
  return RANK[principal.role] >= RANK[role];
}

function grant(patterns: readonly string[]): Grant {
  return { patterns, allows: compileGlobs(patterns) };
}

/** Grants as globs, or already compiled. */
export type GrantLists = Readonly<Partial<Record<Action, readonly string[] | Grant | undefined>>>;

/** Compiles grants; actions without globs are not granted. */
export function grantsOf(lists: GrantLists): Grants {
  const grants: Partial<Record<Action, Grant>> = {};
  for (const action of ACTIONS) {
    const given = lists[action];
    if (given !== undefined) grants[action] = 'allows' in given ? given : grant(given);
  }
  return grants;
}

/** A principal with defaults: a user of the default tenant without restrictions. */
export function principalOf(given: Partial<Principal> = {}): Principal {
  return {
    subject: null,
    role: 'user',
    tenant: 'default',
    grants: null,
    expiresAt: null,
    telemetry: false,
    durable: false,
    operator: false,
    ...given,
  };
}

/** A principal as JSON, stored with jobs and the like that later act on their owner's behalf. */
export interface PrincipalDocument {
  readonly subject: string | null;
  readonly name?: string | null;
  readonly role: Role;
  readonly grants: Readonly<Partial<Record<Action, readonly string[]>>> | null;
  readonly expires_at: number | null;
  readonly telemetry: boolean;
}

export function principalDocument({ subject, name, role, grants, expiresAt, telemetry }: Principal): PrincipalDocument {
  const lists =
    grants === null ? null : Object.fromEntries(ACTIONS.map((action) => [action, grants[action]?.patterns]));
  return {
    subject,
    ...(name === undefined ? {} : { name }),
    role,
    grants: lists,
    expires_at: expiresAt,
    telemetry,
  };
}

/** The principal of a stored document. It is never an operator, and may not create durable things. */
export function readPrincipal(document: PrincipalDocument, tenant: string): Principal {
  const { subject, name = null, role, grants, expires_at, telemetry } = document;
  const held = grants === null ? null : grantsOf(grants);
  return principalOf({ subject, name, role, tenant, grants: held, expiresAt: expires_at, telemetry });
}
