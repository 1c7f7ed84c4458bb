import { BusError, type CommandResult, encode } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Session } from '../connection/session.ts';
import type { Core } from '../core.ts';
import type { Verification } from '../principal.ts';
import { ROLE, STAMP } from '../schemas/fields.ts';
import { type AnyCommand, command } from './command.ts';
import { connectionOf } from './connection.ts';

/**
 * refresh_token: renews a connection's rights and expiry (PROTOCOL section 7).
 *
 * @param verify verifies a token; null while authentication is off
 */
export function tokenCommands(bus: Core, verify: ((token: string) => Promise<Verification>) | null): AnyCommand[] {
  return [
    command({
      name: 'refresh_token',
      role: 'guest',
      description:
        'Renews the token of this connection; subject and tenant must be the same. New grants apply at once.',
      args: z.strictObject({ token: z.string().min(1).max(8_192).describe('The new token.').meta({ secret: true }) }),
      result: z.strictObject({
        role: ROLE,
        expires_at: STAMP.nullable(),
        left: z
          .array(z.string())
          .describe(
            'Memberships that the new token does not allow, as room:channel, or of groups as room:channel/group.',
          ),
      }),
      run: async (context, { token }): Promise<CommandResult<'refresh_token'>> => {
        const session = connectionOf(context);
        if (verify === null) {
          throw new BusError('FEATURE_DISABLED', 'This server runs without authentication; there is nothing to renew.');
        }
        const verified = await verify(token);
        if (!verified.ok) throw new BusError('AUTHENTICATION_FAILED', `The new token is refused: ${verified.reason}.`);
        const { principal } = verified;
        bus.requireWelcome(principal);
        const { tokenExpiresAt = principal.expiresAt } = principal;
        const { subject, tenant } = session.principal;
        if (principal.subject !== subject || principal.tenant !== tenant) {
          throw new BusError(
            'AUTHENTICATION_FAILED',
            'The new token is for another subject or tenant; open a new connection with it.',
          );
        }
        session.principal = principal;
        bus.expiry.watch(session);
        return {
          role: principal.role,
          expires_at: tokenExpiresAt === null ? null : new Date(tokenExpiresAt).toISOString(),
          left: leaveForbidden(bus, session),
        };
      },
    }),
  ];
}

/** Ends the memberships that the new grants no longer allow, and notifies the client of each. */
function leaveForbidden(bus: Core, session: Session): string[] {
  const left: string[] = [];
  for (const { room, channel } of bus.memberships.reauthorize(session)) {
    left.push(`${room}:${channel}`);
    const payload = { event: 'membership_revoked', room, channel, reason: 'grants' };
    session.send(encode({ type: 'system', room, channel, payload }));
  }
  for (const { room, channel, group } of bus.groups.leaveForbidden(session)) {
    left.push(`${room}:${channel}/${group}`);
    const payload = { event: 'membership_revoked', room, channel, group, reason: 'grants' };
    session.send(encode({ type: 'system', room, channel, payload }));
  }
  return left;
}
