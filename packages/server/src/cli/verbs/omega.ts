import { Command, Option } from 'commander';
import { given, parseObject, textOrStdin, whole } from '../arguments.ts';
import { askAndPrint } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { StyledText } from '../terminal/styled-text.ts';
import { pairs, table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface EventOptions extends BusOptions {
  readonly substrate?: string;
  readonly signal?: string;
  readonly limit?: number;
}

/** `arqon omega`: the experimental lane. */
export function omegaVerb(): Command {
  const verb = new Command('omega').description('The experimental lane: substrates and their signals.');
  const children = [
    statusVerb(),
    registerVerb(),
    substratesVerb(),
    unregisterVerb(),
    emitVerb(),
    eventsVerb(),
    clearVerb(),
  ];
  for (const child of children) verb.addCommand(child);
  return withExamples(verb, 'arqon omega status', 'arqon omega register lattice tensor', 'arqon omega events');
}

function statusVerb(): Command {
  const verb = withAnswerOptions(new Command('status').description('Show whether the lane is on, and its contents.'));
  withExamples(verb, 'arqon omega status');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'op.omega.status', {}, ({ enabled, room, channel, counts, limits }) =>
      pairs([
        ['enabled', enabled ? 'yes' : 'no'],
        ['channel', `${room}:${channel}`],
        ['substrates', `${counts.substrates} of ${limits.max_substrates}`],
        ['events', `${counts.events} of ${limits.max_events}`],
      ]),
    ),
  );
}

function registerVerb(): Command {
  const verb = new Command('register')
    .description('Register a substrate.')
    .argument('<name>')
    .argument('<kind>')
    .argument('[metadata]', 'JSON object, or "-" for standard input');
  withExamples(withAnswerOptions(verb), 'arqon omega register lattice tensor');
  return verb.action((name: string, kind: string, text: string | undefined, options: BusOptions) => {
    const metadata = text === undefined ? undefined : parseObject(textOrStdin(text), 'the argument [metadata]');
    const args = { name, kind, ...given({ metadata }) };
    return askAndPrint(options, 'op.omega.register_substrate', args, ({ substrate_id }) => substrate_id);
  });
}

function substratesVerb(): Command {
  const verb = withAnswerOptions(new Command('substrates').description('List the substrates.'));
  withExamples(verb, 'arqon omega substrates');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'op.omega.list_substrates', {}, ({ substrates }) =>
      table(
        ['SUBSTRATE', 'NAME', 'KIND', 'REGISTERED'],
        substrates.map(({ substrate_id, name, kind, registered_at }) => [substrate_id, name, kind, registered_at]),
      ),
    ),
  );
}

function unregisterVerb(): Command {
  const verb = new Command('unregister')
    .description('Remove a substrate and its events.')
    .argument('<substrate>', 'its id');
  withExamples(withAnswerOptions(verb), 'arqon omega unregister SUBSTRATE_ID');
  return verb.action((substrate_id: string, options: BusOptions) =>
    askAndPrint(
      options,
      'op.omega.unregister_substrate',
      { substrate_id },
      ({ removed_events }) => `${substrate_id} removed, with ${removed_events} events`,
    ),
  );
}

function emitVerb(): Command {
  const verb = new Command('emit')
    .description('Emit a signal of a substrate.')
    .argument('<substrate>', 'its id')
    .argument('<signal>')
    .argument('[payload]', 'JSON object, or "-" for standard input');
  withExamples(withAnswerOptions(verb), `arqon omega emit SUBSTRATE_ID spike '{"level":3}'`);
  return verb.action((substrate_id: string, signal: string, text: string | undefined, options: BusOptions) => {
    const payload = text === undefined ? undefined : parseObject(textOrStdin(text), 'the argument [payload]');
    const args = { substrate_id, signal, ...given({ payload }) };
    return askAndPrint(options, 'op.omega.emit_event', args, ({ event_id }) => event_id);
  });
}

function eventsVerb(): Command {
  const verb = withFilter(new Command('events').description('List the events of the lane, oldest first.'));
  verb.addOption(new Option('--limit <n>', 'at most n events').argParser(whole(1)));
  withExamples(verb, 'arqon omega events --signal spike --limit 10');
  return verb.action((options: EventOptions) => {
    const args = given({ substrate_id: options.substrate, signal: options.signal, limit: options.limit });
    return askAndPrint(options, 'op.omega.list_events', args, ({ events }) =>
      table(
        ['EVENT', 'SUBSTRATE', 'SIGNAL', 'TIME', 'PAYLOAD'],
        events.map(({ event_id, substrate_id, signal, timestamp, payload }) => [
          event_id,
          substrate_id,
          signal,
          timestamp,
          StyledText.json(payload),
        ]),
      ),
    );
  });
}

function clearVerb(): Command {
  const verb = withFilter(
    new Command('clear').description('Remove events: all, or only those that match the options.'),
  );
  withExamples(verb, 'arqon omega clear --signal spike');
  return verb.action((options: EventOptions) =>
    askAndPrint(
      options,
      'op.omega.clear_events',
      given({ substrate_id: options.substrate, signal: options.signal }),
      ({ removed_count, remaining_count }) => `${removed_count} removed, ${remaining_count} left`,
    ),
  );
}

function withFilter(verb: Command): Command {
  return withAnswerOptions(verb)
    .option('--substrate <id>', 'only of this substrate')
    .option('--signal <name>', 'only of this signal');
}
