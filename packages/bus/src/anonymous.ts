import type { Role } from '@arqonbus/protocol';
import { type Principal, principalOf } from './principal.ts';

/**
 * The role of everyone while authentication is off: the configured one, else `admin` on a bus that only its own
 * machine reaches, and `user` on any other (PROTOCOL section 7).
 */
export function anonymousRole(configured: Role | '', listeningOnLoopback: boolean): Role {
  if (configured !== '') return configured;
  return listeningOnLoopback ? 'admin' : 'user';
}

/**
 * Who everyone is while authentication is off. There is one tenant then and nobody to hide telemetry from. An admin
 * operates the server only where its own machine alone reaches it: strangers do not, whatever role they were given.
 */
export function anonymousPrincipal(role: Role, listeningOnLoopback: boolean): Principal {
  return principalOf({ role, anonymous: true, telemetry: true, operator: role === 'admin' && listeningOnLoopback });
}
