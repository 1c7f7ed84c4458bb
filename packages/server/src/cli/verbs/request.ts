import type { CommandName } from '@arqonbus/protocol';
import { Command } from 'commander';
import { parseObject, textOrStdin } from '../arguments.ts';
import { ask, withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printDocument, printJsonLine } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon request`: sends a private message and prints the reply. */
export function requestVerb(): Command {
  const verb = new Command('request')
    .description("Send a private message and print the first reply's payload (with --json the whole envelope).")
    .argument('<target>', 'client id, or sub:SUBJECT')
    .argument('<payload>', 'JSON object, or "-" for standard input');
  withExamples(
    withAnswerOptions(verb),
    `arqon request sub:calculator '{"add":[1,2]}'`,
    `arqon request arq_client_0123 '{"question":"ready?"}' --timeout-seconds 2 --json`,
  );
  return verb.action(async (target: string, text: string, options: BusOptions) => {
    const payload = parseObject(textOrStdin(text), 'the argument <payload>');
    const reply = await withBus(options, ({ client }) => client.request(target, payload));
    if (options.json === true) await printJsonLine(reply.envelope);
    else await printDocument(reply.payload);
  });
}

/** `arqon command`: runs any command of the protocol. */
export function commandVerb(): Command {
  const verb = new Command('command')
    .description('Run any command and print its result as JSON; "arqon command help" lists the commands.')
    .argument('<name>', 'name of a command')
    .argument('[args]', 'JSON object, or "-" for standard input', '{}');
  withExamples(
    withAnswerOptions(verb),
    'arqon command help',
    `arqon command channel_info '{"room":"science","channel":"general"}'`,
    `arqon command create_channel '{"room":"lab","channel":"results","retain":true}'`,
  );
  return verb.action(async (name: string, text: string, options: BusOptions) => {
    const args = parseObject(textOrStdin(text), 'the argument [args]');
    // The server reports unknown commands.
    await printDocument(await ask(options, name as CommandName, args as never));
  });
}
