import type { CommandName } from '@arqonbus/protocol';
import { Command } from 'commander';
import { parseObject, textOrStdin } from '../arguments.ts';
import { ask, type BusOptions, withAnswerOptions } from '../remote/bus.ts';
import { printDocument } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon command`: any command of the protocol. */
export function commandVerb(): Command {
  const verb = new Command('command')
    .description('Run any command and print its result as JSON; "help" lists what there is.')
    .argument('<name>', 'name of a command')
    .argument('[args]', 'JSON object, or "-" for standard input', '{}');
  withExamples(
    withAnswerOptions(verb),
    'arqon command help',
    `arqon command channel_info '{"room":"science","channel":"general"}'`,
    `arqon command create_channel '{"room":"lab","channel":"results","retain":true}'`,
  );
  return verb.action(async (name: string, text: string, options: BusOptions) => {
    const args = parseObject(textOrStdin(text), 'The arguments');
    // What the protocol does not know, the server will say.
    await printDocument(await ask(options, name as CommandName, args as never));
  });
}
