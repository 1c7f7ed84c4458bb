import { compileGlobs, type Glob, type Role } from '@arqonbus/protocol';

/** What a principal may be granted. Addresses are `room:channel`, of the store `namespace/key`, of people a subject. */
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

/** What a token lists for each action; an action that it does not list is not granted. */
export type Grants = Readonly<Partial<Record<Action, Grant>>>;

/** Who is asking, decided once at the edge (PROTOCOL section 7). Everything inside asks `Access`. */
export interface Principal {
  /** The JWT `sub`; null when authentication is off or the token names none. */
  readonly subject: string | null;
  /** The screen name that the token fixes; without one its bearer chooses. */
  readonly name?: string | null;
  readonly role: Role;
  readonly tenant: string;
  /** Null allows everything in the tenant that the role allows. */
  readonly grants: Grants | null;
  /** When what was granted ends, in milliseconds since 1970; null: never. A token's is its `exp` and the leeway. */
  readonly expiresAt: number | null;
  /** What a token says of itself (`exp`), in milliseconds since 1970: this is what its bearer is told. */
  readonly tokenExpiresAt?: number | null;
  /** The token's `jti`, and when it was issued in milliseconds since 1970: by these it can be revoked. */
  readonly tokenId?: string | null;
  readonly issuedAt?: number | null;
  /** What its connections are made members of, as soon as they are there. */
  readonly join?: readonly { readonly room: string; readonly channel: string }[];
  /** May watch telemetry without the admin role. */
  readonly telemetry: boolean;
  /** What it makes may outlive its connections and its token; admins may do so anyway. */
  readonly durable: boolean;
  /** Stands over all tenants: the HTTP API key, or an admin token of tenant `*`, or the anonymous admin on loopback. */
  readonly operator: boolean;
  /** Authentication is off: a client may name itself (`?subject=`). */
  readonly anonymous?: boolean;
}

/** Subject of whoever presents the HTTP API key; nobody else can have it. */
export const API_KEY_SUBJECT = 'http:api-key';
/** Longest subject, in UTF-16 units. */
export const MAX_SUBJECT_LENGTH = 256;
/** Control characters, line separators and halves of surrogate pairs: nothing that forges a log line or a frame. */
export const UNPRINTABLE: RegExp = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whether somebody may be called so: 1-256 printable characters, and not the subject of the API key. */
export function isSubject(text: string): boolean {
  return text !== '' && text.length <= MAX_SUBJECT_LENGTH && !UNPRINTABLE.test(text) && text !== API_KEY_SUBJECT;
}

/** What became of a credential: who it names, or why it is refused. */
export type Verification =
  | { readonly ok: true; readonly principal: Principal }
  /** `reason` is all that a stranger learns; `internal` is for the log alone. */
  | { readonly ok: false; readonly reason: string; readonly internal: string };

const RANK: Readonly<Record<Role, number>> = { guest: 0, user: 1, admin: 2 };

export function hasRole(principal: Pick<Principal, 'role'>, role: Role): boolean {
  return RANK[principal.role] >= RANK[role];
}

function grant(patterns: readonly string[]): Grant {
  return { patterns, allows: compileGlobs(patterns) };
}

/** What may be granted, as globs or as grants made of them. */
export type GrantLists = Readonly<Partial<Record<Action, readonly string[] | Grant | undefined>>>;

/** Grants of the given globs; what is not given is not granted. */
export function grantsOf(lists: GrantLists): Grants {
  const grants: Partial<Record<Action, Grant>> = {};
  for (const action of ACTIONS) {
    const given = lists[action];
    if (given !== undefined) grants[action] = 'allows' in given ? given : grant(given);
  }
  return grants;
}

/** What a principal is made of unless told otherwise: a user of the default tenant without restrictions. */
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

/** A principal as JSON, for what is kept in the store and acts on its owner's behalf later. */
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

/** The principal that a document tells of. It is never an operator, and may make nothing durable of its own. */
export function readPrincipal(document: PrincipalDocument, tenant: string): Principal {
  const { subject, name = null, role, grants, expires_at, telemetry } = document;
  const held = grants === null ? null : grantsOf(grants);
  return principalOf({ subject, name, role, tenant, grants: held, expiresAt: expires_at, telemetry });
}
