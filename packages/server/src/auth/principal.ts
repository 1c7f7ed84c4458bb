import { compileGlobs, type Glob, type Role, WILDCARD } from '@arqonbus/protocol';

/** A list of `room:channel` globs with its compiled test; null allows everything in the tenant. */
export interface Grant {
  readonly patterns: readonly string[];
  readonly allows: Glob;
}

/** Who is asking, decided once at the edge (PROTOCOL section 7). Everything inside asks {@link may}. */
export interface Principal {
  /** The JWT `sub`; null when authentication is off or the token names none. */
  readonly subject: string | null;
  readonly role: Role;
  readonly tenant: string;
  readonly publish: Grant | null;
  readonly subscribe: Grant | null;
  /** When what was granted ends, in milliseconds since 1970; null: never. A token's is its `exp` and the leeway. */
  readonly expiresAt: number | null;
  /** What a token says of itself (`exp`), in milliseconds since 1970: this is what its bearer is told. */
  readonly tokenExpiresAt?: number | null;
  /** May read the telemetry port without the admin role. */
  readonly telemetry: boolean;
  /** Stands over all tenants: the HTTP API key, an admin token of tenant `*`, or the anonymous admin on loopback. */
  readonly operator: boolean;
}

export type Action = 'publish' | 'subscribe';

const RANK: Readonly<Record<Role, number>> = { guest: 0, user: 1, admin: 2 };

export function grant(patterns: readonly string[]): Grant {
  return { patterns, allows: compileGlobs(patterns) };
}

export function hasRole(principal: Pick<Principal, 'role'>, role: Role): boolean {
  return RANK[principal.role] >= RANK[role];
}

/**
 * The one question of authorization: may `principal` do `action` at `room:channel` of its own tenant?
 *
 * A wildcard asks for all of a room: only a grant that covers every channel of it says yes, since a grant's glob
 * matches the text `*` by a star alone. `*:*` is the admin's. Guests read and do not publish.
 */
export function may(
  principal: Pick<Principal, 'role' | 'publish' | 'subscribe'>,
  action: Action,
  room: string,
  channel: string,
): boolean {
  if (room === WILDCARD && !hasRole(principal, 'admin')) return false;
  if (action === 'publish' && principal.role === 'guest') return false;
  const held = action === 'publish' ? principal.publish : principal.subscribe;
  return held === null || held.allows(`${room}:${channel}`);
}
