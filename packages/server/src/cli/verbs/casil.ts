import type { CasilSettings, CasilSnapshot } from '@arqonbus/protocol';
import { Command } from 'commander';
import { parseObject, textOrStdin } from '../arguments.ts';
import { askAndPrint, type BusOptions, withAnswerOptions } from '../remote/bus.ts';
import type { Paint } from '../terminal/colours.ts';
import { pairs, table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';
import { casilCheckVerb } from './casil-check.ts';

/** `arqon casil`: the content policy. */
export function casilVerb(): Command {
  const verb = new Command('casil').description('The content policy: show it, change it, try it.');
  for (const child of [getVerb(), reloadVerb(), casilCheckVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon casil get', 'arqon casil check message.json --room payments');
}

function getVerb(): Command {
  const verb = withAnswerOptions(
    new Command('get').description(
      'Print the policy in force for your tenant; for admins with its patterns, and with what was decided in each room.',
    ),
  ).option('--tenant <tenant>', 'for operators: another tenant, or "*" for all that have no policy of their own');
  withExamples(verb, 'arqon casil get', 'arqon casil get --json | jq .mode');
  return verb.action(({ tenant, ...options }: BusOptions & { tenant?: string }) =>
    askAndPrint(options, 'op.casil.get', tenant === undefined ? {} : { tenant }, show),
  );
}

function reloadVerb(): Command {
  const verb = new Command('reload')
    .description("Change settings of your tenant's policy; with one at fault nothing changes. For admins.")
    .argument('<settings>', 'JSON object of the settings to change, or "-" for standard input');
  withExamples(
    withAnswerOptions(verb),
    `arqon casil reload '{"enabled":true,"mode":"enforce"}'`,
    `arqon casil reload '{"tenant":"acme","mode":"monitor"}'`,
    'arqon casil reload - < policy.json',
  );
  return verb.action((text: string, options: BusOptions) => {
    const settings = parseObject(textOrStdin(text), 'The policy') as Partial<CasilSettings>;
    return askAndPrint(options, 'op.casil.reload', settings, show);
  });
}

function show({ decisions = [], ...policy }: CasilSnapshot, paint: Paint): string {
  const settings = pairs(
    Object.entries(policy).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') || '-' : value]),
    paint,
  );
  if (decisions.length === 0) return settings;
  const rows = decisions.map(({ room, decision, reason_code, count }) => [room || '-', decision, reason_code, count]);
  return `${settings}\n\n${table(['room', 'decision', 'reason', 'count'], rows, paint)}`;
}
