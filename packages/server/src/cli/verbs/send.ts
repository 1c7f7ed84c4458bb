import { Command } from 'commander';
import { type PublishOptions, publish, withPublishOptions } from '../publisher.ts';
import { withExamples } from '../verb.ts';

/** `arqon send`: private messages. */
export function sendVerb(): Command {
  const verb = new Command('send')
    .description('Send private messages: the argument, or with "-" (or none) one for each line of standard input.')
    .argument('<targets>', 'client ids or sub:SUBJECT, parted by commas')
    .argument('[payload]', 'JSON object, or "-"');
  withExamples(
    withPublishOptions(verb),
    `arqon send arq_client_0123 '{"text":"to you alone"}'`,
    `arqon send sub:alice,sub:bob '{"text":"to you two"}' --ack`,
  );
  return verb.action((targets: string, payload: string | undefined, options: PublishOptions) =>
    publish(payload, options, (client, object) =>
      client.send(targets.split(','), object, { ack: options.ack === true }),
    ),
  );
}
