import { Command } from 'commander';
import { parseObject, textOrStdin } from '../arguments.ts';
import { type BusOptions, withAnswerOptions, withBus } from '../remote/bus.ts';
import { print, printDocument } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon request`: a private message and its reply. */
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
    const payload = parseObject(textOrStdin(text), 'The payload');
    const reply = await withBus(options, ({ client }) => client.request(target, payload));
    if (options.json === true) await print(JSON.stringify(reply.envelope));
    else await printDocument(reply.payload);
  });
}
