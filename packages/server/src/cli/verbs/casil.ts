import { readFileSync } from 'node:fs';
import type { Explanation, Inspected, Policy } from '@arqonbus/casil';
import type { CasilSettings, CasilSnapshot, JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { parseObject, readText, textOrStdin } from '../arguments.ts';
import { EXIT, messageOf, UsageError } from '../exit.ts';
import { askAndPrint } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import { printResult } from '../terminal/output.ts';
import { lines, type Part, paint, StyledText, text } from '../terminal/styled-text.ts';
import { pairs, table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface CheckOptions {
  readonly room?: string;
  readonly channel?: string;
  readonly policy?: string;
  readonly type: Inspected['type'];
  readonly json?: boolean;
}

/** `arqon casil`: the content policy. */
export function casilVerb(): Command {
  const verb = new Command('casil').description('Show, change and test the content policy.');
  for (const child of [getVerb(), reloadVerb(), checkVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon casil get', 'arqon casil check message.json --room payments');
}

function getVerb(): Command {
  const verb = withAnswerOptions(
    new Command('get').description(
      'Print the content policy of your tenant; for admins with its patterns, and with the decisions by room.',
    ),
  ).option('--tenant <tenant>', 'for operators: another tenant, or "*" for all tenants without their own policy');
  withExamples(verb, 'arqon casil get', 'arqon casil get --json | jq .mode');
  return verb.action(({ tenant, ...options }: BusOptions & { tenant?: string }) =>
    askAndPrint(options, 'op.casil.get', tenant === undefined ? {} : { tenant }, showPolicy),
  );
}

function reloadVerb(): Command {
  const verb = new Command('reload')
    .description("Change settings of your tenant's policy. If one is invalid, nothing changes. For admins.")
    .argument('<settings>', 'JSON object of the settings to change, or "-" for standard input');
  withExamples(
    withAnswerOptions(verb),
    `arqon casil reload '{"enabled":true,"mode":"enforce"}'`,
    `arqon casil reload '{"tenant":"acme","mode":"monitor"}'`,
    'arqon casil reload - < policy.json',
  );
  return verb.action((given: string, options: BusOptions) => {
    const settings = parseObject(textOrStdin(given), 'the argument <settings>') as Partial<CasilSettings>;
    return askAndPrint(options, 'op.casil.reload', settings, showPolicy);
  });
}

function showPolicy({ decisions = [], ...policy }: CasilSnapshot): StyledText {
  const settings = pairs(
    Object.entries(policy).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') || '-' : value]),
  );
  if (decisions.length === 0) return settings;
  const rows = decisions.map(({ room, decision, reason_code, count }) => [room || '-', decision, reason_code, count]);
  return lines([settings, text``, table(['room', 'decision', 'reason', 'count'], rows)]);
}

/** `arqon casil check`: the outcome of the policy for a payload, rule by rule. */
function checkVerb(): Command {
  const verb = new Command('check')
    .description(
      'Test the policy of the configuration (flags, environment, file) on a payload, and explain its outcome rule by ' +
        'rule, without a bus. Exit code 0: it passes, redacted or not; 1: "enforce" would block it, in any mode; ' +
        '2: the payload or the policy is malformed.',
    )
    .argument('[file]', 'file with the payload, a JSON object; "-" or none: standard input')
    .option('--room <room>', 'the room, which determines whether it is in scope')
    .option('--channel <channel>', 'the channel')
    .option('--policy <file>', 'settings of op.casil.reload in YAML or JSON, instead of the configuration')
    .addOption(
      new Option('--type <type>', 'type of its envelope')
        .choices(['event', 'private', 'command', 'telemetry'])
        .default('event'),
    )
    .option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon casil check message.json --room payments --channel orders',
    `echo '{"password":"hunter2"}' | arqon casil check --policy policy.yaml --json`,
  );
  return verb.action(check);
}

async function check(file: string | undefined, options: CheckOptions & Flags): Promise<void> {
  const { room, channel, type } = options;
  const payload = parseObject(readText(file ?? '-', 'the argument [file]'), 'the payload');
  const policy = await readPolicy(options);
  const { explain } = await import('@arqonbus/casil');
  const explanation = explain(policy, { type, room, channel, payload });
  await printResult(options.json, explanation, (found) => explained(found, payload));
  if (explanation.enforced.decision === 'BLOCK') process.exitCode = EXIT.failure;
}

async function readPolicy(options: CheckOptions & Flags): Promise<Policy> {
  const { compilePolicy } = await import('@arqonbus/casil');
  const compiled = compilePolicy(await readPolicySettings(options));
  if (compiled.ok) return compiled.policy;
  throw new UsageError(
    'the policy has faults:',
    compiled.faults.map(({ message }) => message),
  );
}

async function readPolicySettings({ policy: path, ...flags }: CheckOptions & Flags): Promise<CasilSettings> {
  if (path === undefined) return (await requireSettings(flags)).config.casil as CasilSettings;
  const { DEFAULT_CASIL_SETTINGS } = await import('@arqonbus/casil');
  const { parse } = await import('yaml');
  let given: unknown;
  try {
    given = parse(readFileSync(path, 'utf8'), { logLevel: 'error' });
  } catch (error) {
    // The parser's message includes an excerpt on separate lines.
    throw new UsageError(`--policy names ${path}, which cannot be read: ${messageOf(error).split('\n', 1)[0]}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new UsageError(`--policy names ${path}, which must hold settings by their names, such as "mode: enforce".`);
  }
  return { ...DEFAULT_CASIL_SETTINGS, enabled: true, ...(given as Partial<CasilSettings>) };
}

function explained(found: Explanation, payload: JsonObject): StyledText {
  const { scope, size, matches, enforced, mode, enabled, verdict, transportRedacted, failure } = found;
  const line = (name: string, part: Part): StyledText => text`${paint('dim', name.padEnd(8))}  ${part}`;
  const inScope = scope.includesAll ? 'everything is included' : `included by ${scope.includedBy.join(', ')}`;
  const why = scope.excludedBy.length > 0 ? `excluded by ${scope.excludedBy.join(', ')}` : 'no include covers it';
  const result = verdict.payload === payload ? 'unchanged' : StyledText.json(verdict.payload);
  return lines([
    ...(enabled ? [] : [line('layer', paint('yellow', 'switched off: this is what it would do'))]),
    line('scope', scope.inScope ? `in scope (${inScope})` : `out of scope (${why})`),
    line('size', `${size.bytes ?? '?'} of ${size.maxPayloadBytes} bytes${size.oversize ? ': oversize' : ''}`),
    ...(size.partiallyInspected ? [line('', `only the first ${size.maxInspectBytes} bytes are inspected`)] : []),
    ...matches.map(({ rule, path, description }) =>
      line('rule', text`${paint('yellow', rule)} at ${path}: ${description}`),
    ),
    ...(matches.length === 0 && scope.inScope ? [line('rules', 'none matched')] : []),
    ...(failure === undefined ? [] : [line('failure', failure)]),
    line('mode', mode),
    line('enforce', text`${paintDecision(enforced.decision)} (${enforced.reasonCode})`),
    line('outcome', text`${paintDecision(verdict.decision)} (${verdict.reasonCode})`),
    line('payload', transportRedacted ? text`redacted: ${result}` : result),
  ]);
}

function paintDecision(decision: string): StyledText {
  return paint(decision === 'BLOCK' ? 'red' : decision === 'ALLOW' ? 'green' : 'yellow', decision);
}
