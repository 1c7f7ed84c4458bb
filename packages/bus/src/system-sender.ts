import type { Sender } from './connection/session.ts';
import { type Principal, principalOf } from './principal.ts';
import { type SenderMark, senderMark } from './sender-mark.ts';

/**
 * A sender of the server's own (`arqonbus`, `op-cron`, `op-omega`, `http:NAME`; PROTOCOL section 2). It may do what
 * `principal` may: an operator that acts for an owner is bound by the owner's grants.
 */
export function systemSender(
  id: string,
  principal: Principal,
  identity: string = id,
  mark: SenderMark = senderMark(principal),
): Sender {
  return { id, identity, principal, mark, session: null };
}

/** The principal of what the server itself says in a tenant: nothing is refused to it. */
export function serverPrincipal(tenant: string): Principal {
  return principalOf({ role: 'admin', tenant, telemetry: true, operator: true });
}
