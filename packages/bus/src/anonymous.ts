import type { Role } from '@arqonbus/protocol';
import { type Principal, principalOf } from './principal.ts';

/**
 * The role of every client while authentication is off: the configured one, else `admin` on a bus that only listens on
 * loopback, and `user` on any other (PROTOCOL section 7).
 */
export function anonymousRole(configured: Role | '', listeningOnLoopback: boolean): Role {
  if (configured !== '') return configured;
  return listeningOnLoopback ? 'admin' : 'user';
}

/**
 * The principal of every client while authentication is off. There is only one tenant then, so telemetry is open to
 * all. An admin is an operator of the server only on loopback: remote clients never are, whatever their role.
 */
export function anonymousPrincipal(role: Role, listeningOnLoopback: boolean): Principal {
  return principalOf({ role, anonymous: true, telemetry: true, operator: role === 'admin' && listeningOnLoopback });
}
