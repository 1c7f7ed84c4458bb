import {
  type AccessBlock,
  type AccessRevocation,
  BusError,
  type CommandResult,
  parseTimestamp,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { MAX_SUBJECT_LENGTH } from '../principal.ts';
import { COUNT, STAMP } from '../schemas/fields.ts';
import type { Subjects } from '../subjects.ts';
import { TIME } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';

const SUBJECT = z.string().min(1).max(MAX_SUBJECT_LENGTH).describe('The `sub` of its tokens.');
const REASON = z.string().min(1).max(256);
/** The limit for a close frame's reason in UTF-8 bytes, with a margin. */
const MAX_CLOSE_REASON = 120;

const BLOCK: z.ZodType<AccessBlock> = z
  .strictObject({
    subject: SUBJECT,
    reason: REASON,
    until: STAMP.nullable().describe('Null: until it is removed.'),
    created_at: STAMP,
    created_by: z.string(),
  })
  .meta({ id: 'AccessBlock', description: 'A blocked subject.' });

const REVOCATION: z.ZodType<AccessRevocation> = z
  .strictObject({
    jti: z.string().nullable(),
    subject: z.string().nullable(),
    issued_before: STAMP.nullable(),
    created_at: STAMP,
    created_by: z.string(),
  })
  .meta({ id: 'AccessRevocation', description: 'Tokens that are no longer valid.' });

/** op.access.*: a tenant's blocks and revocations (RULES 2). */
export function accessCommands(bus: Core, subjects: Subjects): AnyCommand[] {
  const { accessList } = bus;
  return [
    command({
      name: 'op.access.block',
      role: 'admin',
      isTenantWide: true,
      description: 'Blocks a subject on every node at once and closes its connections (4403).',
      args: z.strictObject({
        subject: SUBJECT,
        reason: REASON.describe('The reason, which is sent to the subject.'),
        until: TIME.describe('RFC 3339. Default: until it is removed.').exactOptional(),
      }),
      result: BLOCK,
      run: ({ sender }, { subject, reason, until }): Awaitable<AccessBlock> => {
        const { tenant, subject: own } = sender.principal;
        if (subject === own) {
          throw new BusError('VALIDATION_ERROR', 'That is yourself; another admin has to block you.', {
            field: 'subject',
          });
        }
        const end = until === undefined ? null : timeOf('until', until);
        if (end !== null && end <= bus.options.now()) {
          throw new BusError('VALIDATION_ERROR', '"until" is in the past; name a time in the future.', {
            field: 'until',
          });
        }
        return accessList.block(tenant, subject, { reason, until: end, by: own ?? sender.id });
      },
    }),
    command({
      name: 'op.access.unblock',
      role: 'admin',
      isTenantWide: true,
      description: 'Unblocks a subject.',
      args: z.strictObject({ subject: SUBJECT }),
      result: z.strictObject({ unblocked: z.boolean().describe('False: it was not blocked.') }),
      run: async ({ sender }, { subject }): Promise<CommandResult<'op.access.unblock'>> => ({
        unblocked: await accessList.unblock(sender.principal.tenant, subject),
      }),
    }),
    command({
      name: 'op.access.revoke',
      role: 'admin',
      isTenantWide: true,
      description: 'Revokes one token, or all tokens of a subject that were issued before a time.',
      args: z.strictObject({
        jti: z.string().min(1).max(256).describe('The `jti` of the token.').exactOptional(),
        subject: SUBJECT.exactOptional(),
        issued_before: z
          .union([z.int().min(0).max(8_640_000_000_000), TIME])
          .describe('With a subject: seconds since 1970, or RFC 3339.')
          .exactOptional(),
      }),
      result: REVOCATION,
      run: ({ sender }, { jti, subject, issued_before: before }): Awaitable<AccessRevocation> => {
        const { tenant, subject: own } = sender.principal;
        const by = own ?? sender.id;
        if (jti !== undefined && subject === undefined && before === undefined) {
          return accessList.revoke(tenant, { jti }, by);
        }
        if (jti === undefined && subject !== undefined && before !== undefined) {
          const issuedBefore = typeof before === 'number' ? before * 1_000 : timeOf('issued_before', before);
          return accessList.revoke(tenant, { subject, issuedBefore }, by);
        }
        throw new BusError('VALIDATION_ERROR', 'Name "jti" alone, or "subject" together with "issued_before".', {
          field: jti === undefined ? 'subject' : 'jti',
        });
      },
    }),
    command({
      name: 'op.access.disconnect',
      role: 'admin',
      isTenantWide: true,
      description:
        'Closes the connections of a subject, or one connection, on any node (4403). The client may reconnect.',
      args: z.strictObject({
        subject: SUBJECT.exactOptional(),
        client_id: z.string().min(1).max(128).describe('Instead of a subject: one connection.').exactOptional(),
        reason: z
          .string()
          .min(1)
          .refine((text) => Buffer.byteLength(text) <= MAX_CLOSE_REASON, `must have at most ${MAX_CLOSE_REASON} bytes`)
          .describe(`Told to the client; at most ${MAX_CLOSE_REASON} bytes of UTF-8.`)
          .exactOptional(),
      }),
      result: z.strictObject({ disconnected: COUNT.describe('Connections that were closed.') }),
      run: async ({ sender }, args): Promise<CommandResult<'op.access.disconnect'>> => {
        const { subject, client_id: client, reason = 'disconnected by an administrator' } = args;
        const { tenant, subject: own } = sender.principal;
        if (client === sender.id || (subject !== undefined && subject === own)) {
          throw new BusError('VALIDATION_ERROR', 'That is yourself; close your connection instead.', {
            field: client === undefined ? 'subject' : 'client_id',
          });
        }
        if (subject !== undefined && client === undefined) {
          return { disconnected: await subjects.disconnect(tenant, subject, reason) };
        }
        if (client !== undefined && subject === undefined) {
          return { disconnected: await subjects.disconnectClient(tenant, client, reason) };
        }
        throw new BusError('VALIDATION_ERROR', 'Name either "subject" or "client_id".', { field: 'subject' });
      },
    }),
    command({
      name: 'op.access.list',
      role: 'admin',
      isTenantWide: true,
      description: 'Lists blocked subjects and revoked tokens.',
      args: z.strictObject({
        limit: z.int().min(1).max(500).exactOptional(),
        after: z.string().max(300).describe('The "next" of the previous answer.').exactOptional(),
      }),
      result: z.strictObject({
        blocks: z.array(BLOCK),
        revocations: z.array(REVOCATION),
        next: z.string().nullable().describe('Pass as "after" for the next page; null at the end.'),
      }),
      run: ({ sender }, { limit = 500, after }): CommandResult<'op.access.list'> => {
        const { blocks, revocations } = accessList.list(sender.principal.tenant);
        const all = [
          ...blocks.map((block) => ({ key: `b:${block.subject}`, block })),
          ...revocations.map((revocation) => ({
            key: `r:${revocation.jti === null ? `sub:${revocation.subject}` : `jti:${revocation.jti}`}`,
            revocation,
          })),
        ];
        const rest = after === undefined ? all : all.filter(({ key }) => key > after);
        const page = rest.slice(0, limit);
        return {
          blocks: page.flatMap((one) => ('block' in one ? [one.block] : [])),
          revocations: page.flatMap((one) => ('revocation' in one ? [one.revocation] : [])),
          next: rest.length > limit ? (page[page.length - 1]?.key ?? null) : null,
        };
      },
    }),
  ];
}

function timeOf(field: string, text: string): number {
  const time = parseTimestamp(text);
  if (time !== undefined) return time;
  throw new BusError('VALIDATION_ERROR', `"${field}" is not a date that exists.`, { field });
}
