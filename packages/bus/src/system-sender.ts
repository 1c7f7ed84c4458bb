import type { Sender } from './connection/session.ts';
import { type Principal, principalOf } from './principal.ts';
import { type SenderMark, senderMark } from './sender-mark.ts';

/**
 * A sender of the server itself (`arqonbus`, `op-cron`, `op-omega`, `http:NAME`; PROTOCOL section 2). It has the rights
 * of `principal`: an operator acting for an owner is limited to the owner's grants.
 */
export function systemSender(
  id: string,
  principal: Principal,
  identity: string = id,
  mark: SenderMark = senderMark(principal),
): Sender {
  return { id, identity, principal, mark, session: null };
}

/** The principal of the server's own messages in a tenant: it may do everything. */
export function serverPrincipal(tenant: string): Principal {
  return principalOf({ role: 'admin', tenant, telemetry: true, operator: true });
}
