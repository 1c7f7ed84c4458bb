import type { ArqonBusClient, Sent } from '@arqonbus/client';
import type { JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { UsageError } from '../exit.ts';
import { type PublishOptions, publish, withPublishOptions } from '../publisher.ts';
import { withExamples } from '../verb.ts';

interface PubOptions extends PublishOptions {
  readonly type: 'event' | 'telemetry';
}

/** `arqon pub`: events to a channel. */
export function pubVerb(): Command {
  const verb = new Command('pub')
    .description('Publish events: the argument, or with "-" (or none) one for each line of standard input.')
    .argument('<target>', 'ROOM:CHANNEL, or ROOM for the whole room')
    .argument('[payload]', 'JSON object, or "-"');
  withPublishOptions(verb).addOption(
    new Option('--type <type>', 'with telemetry a payload is written {"eventType":"name","payload":{}}')
      .choices(['event', 'telemetry'])
      .default('event'),
  );
  withExamples(
    verb,
    `arqon pub lab:results '{"text":"hello"}'`,
    `arqon pub lab:results '{"n":1}' --ack --json`,
    'arqon pub lab:results --rate 100 < events.jsonl',
  );
  return verb.action((target: string, payload: string | undefined, options: PubOptions) =>
    publish(payload, options, (client, object) =>
      options.type === 'event'
        ? client.publish(target, object, { ack: options.ack === true })
        : submit(client, target, object, options),
    ),
  );
}

async function submit(
  client: ArqonBusClient,
  target: string,
  { eventType, payload }: JsonObject,
  { ack }: PubOptions,
): Promise<Sent> {
  if (typeof eventType !== 'string' || typeof payload !== 'object' || payload === null) {
    throw new UsageError('A telemetry event is written {"eventType":"name","payload":{}}.');
  }
  return client.telemetry(eventType, payload, { at: target, ack: ack === true });
}
