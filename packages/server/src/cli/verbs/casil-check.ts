import { readFileSync } from 'node:fs';
import type { Explanation, Inspected, Policy } from '@arqonbus/casil';
import type { CasilSettings, JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { parseObject, readText } from '../arguments.ts';
import { EXIT, UsageError } from '../exit.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import type { Paint } from '../terminal/colours.ts';
import { printResult, visible } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

interface CheckOptions {
  readonly room?: string;
  readonly channel?: string;
  readonly policy?: string;
  readonly type: Inspected['type'];
  readonly json?: boolean;
}

/** `arqon casil check`: what the policy makes of a payload, rule by rule. */
export function casilCheckVerb(): Command {
  const verb = new Command('check')
    .description(
      'Try the policy of the configuration (flags, environment, file) on a payload, and explain its outcome rule by ' +
        'rule. No bus is asked. Exit code 0: it passes, redacted or not; 1: "enforce" would block it, whichever mode ' +
        'is set; 2: the payload or the policy is malformed.',
    )
    .argument('[file]', 'file with the payload, a JSON object; "-" or none: standard input')
    .option('--room <room>', 'where it goes to, which decides whether it is in scope')
    .option('--channel <channel>', 'the channel it goes to')
    .option('--policy <file>', 'settings of op.casil.reload in YAML or JSON, in place of the configuration')
    .addOption(
      new Option('--type <type>', 'what kind of envelope carries it')
        .choices(['event', 'private', 'command', 'telemetry', 'profile'])
        .default('event'),
    )
    .option('--json', 'print JSON and nothing else');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon casil check message.json --room payments --channel orders',
    `echo '{"password":"hunter2"}' | arqon casil check --policy policy.yaml --json`,
  );
  return verb.action(check);
}

async function check(file: string | undefined, options: CheckOptions & Flags): Promise<void> {
  const { room, channel, type } = options;
  const payload = parseObject(readText(file ?? '-', 'the argument'), 'The payload');
  const policy = await readPolicy(options);
  const { explain } = await import('@arqonbus/casil');
  const explanation = explain(policy, { type, room, channel, payload });
  await printResult(options.json, explanation, (found, paint) => show(found, payload, paint));
  if (explanation.enforced.decision === 'BLOCK') process.exitCode = EXIT.failure;
}

async function readPolicy(options: CheckOptions & Flags): Promise<Policy> {
  const { compilePolicy } = await import('@arqonbus/casil');
  const compiled = compilePolicy(await readPolicySettings(options));
  if (compiled.ok) return compiled.policy;
  const faults = compiled.faults.map(({ message }) => `  - ${message}`);
  throw new UsageError(`the policy has faults:\n${faults.join('\n')}`);
}

async function readPolicySettings({ policy: path, ...flags }: CheckOptions & Flags): Promise<CasilSettings> {
  if (path === undefined) return (await requireSettings(flags)).config.casil as CasilSettings;
  const { DEFAULT_CASIL_SETTINGS } = await import('@arqonbus/casil');
  const { parse } = await import('yaml');
  let given: unknown;
  try {
    given = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`the policy ${path} cannot be read: ${(error as Error).message}`);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new UsageError(`the policy ${path} must be a mapping of settings, such as "mode: enforce".`);
  }
  return { ...DEFAULT_CASIL_SETTINGS, enabled: true, ...(given as Partial<CasilSettings>) };
}

function show(found: Explanation, payload: JsonObject, paint: Paint): string {
  const { scope, size, matches, enforced, mode, enabled, verdict, transportRedacted, failure } = found;
  const line = (name: string, text: string): string => `${paint('dim', name.padEnd(8))}  ${text}`;
  const inScope = scope.includesAll ? 'everything is included' : `included by ${scope.includedBy.join(', ')}`;
  const why = scope.excludedBy.length > 0 ? `excluded by ${scope.excludedBy.join(', ')}` : 'no include covers it';
  const result = verdict.payload === payload ? 'unchanged' : visible(JSON.stringify(verdict.payload));
  return [
    ...(enabled ? [] : [line('layer', paint('yellow', 'switched off: this is what it would do'))]),
    line('scope', scope.inScope ? `in scope (${inScope})` : `out of scope (${why})`),
    line('size', `${size.bytes ?? '?'} of ${size.maxPayloadBytes} bytes${size.oversize ? ': oversize' : ''}`),
    ...(size.partiallyInspected ? [line('', `only the first ${size.maxInspectBytes} bytes are inspected`)] : []),
    ...matches.map(({ rule, path, description }) =>
      line('rule', `${paint('yellow', visible(rule))} at ${visible(path)}: ${visible(description)}`),
    ),
    ...(matches.length === 0 && scope.inScope ? [line('rules', 'none matched')] : []),
    ...(failure === undefined ? [] : [line('failure', failure)]),
    line('mode', mode),
    line('enforce', `${paintDecision(enforced.decision, paint)} (${enforced.reasonCode})`),
    line('outcome', `${paintDecision(verdict.decision, paint)} (${verdict.reasonCode})`),
    line('payload', transportRedacted ? `redacted: ${result}` : result),
  ].join('\n');
}

function paintDecision(decision: string, paint: Paint): string {
  return paint(decision === 'BLOCK' ? 'red' : decision === 'ALLOW' ? 'green' : 'yellow', decision);
}
