import type { CommandArgs, WebhookRule } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { collectHeader, given, readText, seconds } from '../arguments.ts';
import { askAndPrint, askAndStay } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import type { StyledText } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface RegisterOptions extends BusOptions {
  readonly sendHeader?: Readonly<Record<string, string>>;
  readonly deliveryTimeoutSeconds?: number;
  readonly secretFile?: string;
  readonly temporary?: boolean;
  readonly on?: Registration['on'];
}

type Registration = CommandArgs<'op.webhook.register'>;

/** `arqon webhook`: events posted to HTTP URLs. */
export function webhookVerb(): Command {
  const verb = new Command('webhook').description('Post events to an HTTP address, and check the results.');
  for (const child of [registerVerb(), listVerb(), unregisterVerb(), deadLettersVerb(), retryVerb()]) {
    verb.addCommand(child);
  }
  return withExamples(verb, 'arqon webhook register https://example.com/hook lab:results', 'arqon webhook list');
}

function registerVerb(): Command {
  const verb = new Command('register')
    .description('Post the events of a channel, of a room, or (for admins) of all rooms to an address.')
    .argument('<url>')
    .argument('[source]', 'ROOM:CHANNEL, or ROOM for all its channels');
  withAnswerOptions(verb)
    .addOption(new Option('--send-header <name:value>', 'header of each POST; repeatable').argParser(collectHeader))
    .addOption(new Option('--delivery-timeout-seconds <n>', 'timeout of one POST').argParser(seconds))
    .option('--secret-file <file>', 'file with the secret that signs each POST ("-": standard input)')
    .addOption(
      new Option('--on <event...>', 'what to post; default: messages').choices([
        'message',
        'client_joined',
        'client_left',
        'occupied',
        'vacated',
      ]),
    )
    .option('--temporary', 'only while this program runs; without it the rule is durable, which needs an admin');
  withExamples(
    verb,
    'arqon webhook register https://example.com/hook lab:results',
    'arqon webhook register https://example.com/hook lab --secret-file hook.secret --temporary',
    'arqon webhook register https://example.com/hook lab --on occupied vacated',
  );
  return verb.action((url: string, source: string | undefined, options: RegisterOptions) => {
    const { sendHeader: headers, deliveryTimeoutSeconds: timeout_seconds, secretFile, temporary, on } = options;
    const secret = secretFile === undefined ? undefined : readText(secretFile, '--secret-file').trimEnd();
    const [room, channel] = source?.split(':', 2) ?? [];
    const args = {
      url,
      durable: temporary !== true,
      ...given({ room, channel, headers, timeout_seconds, secret, on }),
    };
    const run = temporary === true ? askAndStay : askAndPrint;
    return run(options, 'op.webhook.register', args, (rule) => rules([rule]));
  });
}

function listVerb(): Command {
  const verb = withAnswerOptions(new Command('list').description('List your rules; admins see all rules.'));
  withExamples(verb, 'arqon webhook list', 'arqon webhook list --json');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'op.webhook.list', {}, (result) => rules(result.rules)),
  );
}

function unregisterVerb(): Command {
  const verb = new Command('unregister').description('Remove a rule.').argument('<rule>', 'id of the rule');
  withExamples(withAnswerOptions(verb), 'arqon webhook unregister RULE_ID');
  return verb.action((rule_id: string, options: BusOptions) =>
    askAndPrint(options, 'op.webhook.unregister', { rule_id }, () => `${rule_id} removed`),
  );
}

function deadLettersVerb(): Command {
  const verb = new Command('dead-letters').description('List failed deliveries.').argument('<rule>', 'id of the rule');
  withExamples(withAnswerOptions(verb), 'arqon webhook dead-letters RULE_ID');
  return verb.action((rule_id: string, options: BusOptions) =>
    askAndPrint(options, 'op.webhook.dead_letters', { rule_id }, ({ dead_letters: letters }) =>
      table(
        ['DELIVERY', 'ATTEMPTS', 'FAILED', 'ERROR'],
        letters.map(({ delivery_id, attempts, failed_at, last_error }) => [
          delivery_id,
          attempts,
          failed_at,
          last_error,
        ]),
      ),
    ),
  );
}

function retryVerb(): Command {
  const verb = new Command('retry')
    .description('Try dead letters of a rule again: one, or all.')
    .argument('<rule>', 'id of the rule')
    .argument('[delivery]', 'id of one delivery');
  withExamples(withAnswerOptions(verb), 'arqon webhook retry RULE_ID');
  return verb.action((rule_id: string, delivery_id: string | undefined, options: BusOptions) =>
    askAndPrint(
      options,
      'op.webhook.retry',
      { rule_id, ...given({ delivery_id }) },
      ({ requeued }) => `${requeued} queued again`,
    ),
  );
}

function rules(all: readonly WebhookRule[]): StyledText {
  return table(
    ['RULE', 'URL', 'SOURCE', 'SIGNED', 'DURABLE', 'QUEUED', 'DELIVERED', 'FAILED', 'DEAD', 'ON'],
    all.map(({ rule_id, url, room, channel, signed, durable, queued, delivered, failed, dead_letters, on }) => [
      rule_id,
      url,
      `${room ?? '*'}:${channel ?? '*'}`,
      signed ? 'yes' : 'no',
      durable ? 'yes' : 'no',
      queued,
      delivered,
      failed,
      dead_letters,
      on.join(' '),
    ]),
  );
}
