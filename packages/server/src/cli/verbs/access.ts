import type { AccessBlock, AccessRevocation } from '@arqonbus/protocol';
import { Command } from 'commander';
import { given } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { askAndPrint } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import type { StyledText } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon access`: blocked subjects and revoked tokens of a tenant. */
export function accessVerb(): Command {
  const verb = new Command('access').description(
    'Block subjects and revoke tokens, on every node at once. For admins.',
  );
  for (const child of [listVerb(), blockVerb(), unblockVerb(), revokeVerb(), disconnectVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon access block mallory --reason spam', 'arqon access list');
}

function listVerb(): Command {
  const verb = withAnswerOptions(new Command('list').description('List blocked subjects and revoked tokens.'));
  withExamples(verb, 'arqon access list', 'arqon access list --json | jq .blocks');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'op.access.list', {}, ({ blocks, revocations }) => entries(blocks, revocations)),
  );
}

function blockVerb(): Command {
  const verb = new Command('block')
    .description('Block a subject and close its connections.')
    .argument('<subject>', '`sub` of its tokens')
    .requiredOption('--reason <text>', 'sent to the subject')
    .option('--until <time>', 'RFC 3339; default: until it is unblocked');
  withExamples(
    withAnswerOptions(verb),
    'arqon access block mallory --reason spam',
    'arqon access block mallory --reason "cool down" --until 2026-12-24T18:00:00Z',
  );
  return verb.action(
    (subject: string, { reason, until, ...options }: BusOptions & { reason: string; until?: string }) =>
      askAndPrint(options, 'op.access.block', { subject, reason, ...given({ until }) }, (block) =>
        entries([block], []),
      ),
  );
}

function unblockVerb(): Command {
  const verb = new Command('unblock').description('Unblock a subject.').argument('<subject>', '`sub` of its tokens');
  withExamples(withAnswerOptions(verb), 'arqon access unblock mallory');
  return verb.action((subject: string, options: BusOptions) =>
    askAndPrint(options, 'op.access.unblock', { subject }, ({ unblocked }) =>
      unblocked ? `${subject} may come in again` : `${subject} was not blocked`,
    ),
  );
}

interface RevokeOptions extends BusOptions {
  readonly jti?: string;
  readonly subject?: string;
  readonly issuedBefore?: string;
}

function revokeVerb(): Command {
  const verb = new Command('revoke')
    .description('Revoke one token, or all tokens of a subject that were issued before a time.')
    .option('--jti <id>', 'the `jti` of the token')
    .option('--subject <subject>', '`sub` of the tokens, with --issued-before')
    .option('--issued-before <time>', 'RFC 3339');
  withExamples(
    withAnswerOptions(verb),
    'arqon access revoke --jti 7d0c',
    'arqon access revoke --subject mallory --issued-before 2026-11-26T12:00:00Z',
  );
  return verb.action(({ jti, subject, issuedBefore, ...options }: RevokeOptions) => {
    if ((jti === undefined) === (subject === undefined) || (subject === undefined) !== (issuedBefore === undefined)) {
      throw new UsageError('Pass --jti alone, or --subject together with --issued-before.');
    }
    const args = given({ jti, subject, issued_before: issuedBefore });
    return askAndPrint(options, 'op.access.revoke', args, (revocation) => entries([], [revocation]));
  });
}

function disconnectVerb(): Command {
  const verb = new Command('disconnect')
    .description('Close the connections of a subject, or one connection. The client may reconnect.')
    .argument('[subject]', '`sub` of its tokens')
    .option('--client <id>', 'one connection instead')
    .option('--reason <text>', 'sent to the client');
  withExamples(
    withAnswerOptions(verb),
    'arqon access disconnect ada',
    'arqon access disconnect --client arq_client_7d0c',
  );
  return verb.action(
    (
      subject: string | undefined,
      { client, reason, ...options }: BusOptions & { client?: string; reason?: string },
    ) => {
      if ((subject === undefined) === (client === undefined)) {
        throw new UsageError('Name either a subject or --client.');
      }
      const args = given({ subject, client_id: client, reason });
      return askAndPrint(options, 'op.access.disconnect', args, ({ disconnected }) =>
        disconnected === 1 ? '1 connection was closed' : `${disconnected} connections were closed`,
      );
    },
  );
}

function entries(blocks: readonly AccessBlock[], revocations: readonly AccessRevocation[]): StyledText {
  return table(
    ['WHO', 'KEPT OUT', 'REASON', 'BY'],
    [
      ...blocks.map(({ subject, until, reason, created_by }) => [
        subject,
        until ?? 'until unblocked',
        reason,
        created_by,
      ]),
      ...revocations.map(({ jti, subject, issued_before, created_by }) => [
        subject ?? `token ${jti ?? ''}`,
        issued_before === null ? 'this token' : `tokens issued before ${issued_before}`,
        'revoked',
        created_by,
      ]),
    ],
  );
}
