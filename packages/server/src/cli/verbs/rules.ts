import type { ChannelRule, Explanation, JsonObject } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { collectGrants, given, parseJson, parseObject, readText, textOrStdin, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { ask, askAndPrint } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printResult } from '../terminal/output.ts';
import { lines, StyledText, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon rules`: the channel rules of a tenant. */
export function rulesVerb(): Command {
  const verb = new Command('rules').description('Show and replace the channel rules of your tenant. For admins.');
  for (const child of [getVerb(), setVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon rules get', 'arqon rules set rules.json');
}

function getVerb(): Command {
  const verb = withAnswerOptions(
    new Command('get').description("Print your tenant's rules, and those of the configuration."),
  );
  withExamples(verb, 'arqon rules get', 'arqon rules get --json | jq .rules > rules.json');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'op.rules.get', {}, ({ version, rules, base }) =>
      lines([text`version ${version}`, listOf([...rules.map(from('store')), ...base.map(from('file'))])]),
    ),
  );
}

function setVerb(): Command {
  const verb = new Command('set')
    .description('Replace the rules of your tenant, on every node at once.')
    .argument('<file>', 'JSON file with a list of rules, or "-" for standard input');
  withAnswerOptions(verb).addOption(
    new Option('--if-version <n>', 'only if this is still their version; without this option, always').argParser(
      whole(0),
    ),
  );
  withExamples(verb, 'arqon rules set rules.json', 'arqon rules set - --if-version 3 < rules.json');
  return verb.action(async (file: string, { ifVersion, ...options }: BusOptions & { ifVersion?: number }) => {
    const rules = parseJson(readText(file, 'the argument <file>'), file === '-' ? 'standard input' : file);
    if (!Array.isArray(rules)) throw new UsageError('The file must hold a list: [{"match":"room:channel", …}, …].');
    const version = ifVersion ?? (await ask(options, 'op.rules.get', {})).version;
    // The bus reports errors in the rules with their position.
    const args = { rules: rules as ChannelRule[], if_version: version };
    await askAndPrint(options, 'op.rules.set', args, (set) => `version ${set.version}`);
  });
}

interface ExplainOptions extends BusOptions {
  readonly asSubject?: string;
  readonly asRole?: 'guest' | 'user' | 'admin';
  readonly asGrant?: Readonly<Record<string, readonly string[]>>;
}

/** `arqon explain`: what would happen to an event. */
export function explainVerb(): Command {
  const verb = new Command('explain')
    .description('Explain what would happen to an event: rules, grants, schema, content policy, receivers. For admins.')
    .argument('<target>', 'ROOM:CHANNEL, or ROOM for the whole room')
    .argument('[payload]', 'JSON object, or "-" for standard input', '{}');
  withAnswerOptions(verb)
    .option('--as-subject <subject>', 'as this subject')
    .addOption(new Option('--as-role <role>', 'as a client with this role').choices(['guest', 'user', 'admin']))
    .option('--as-grant <action=globs>', 'as a client with only these grants; repeatable', collectGrants);
  withExamples(
    verb,
    `arqon explain orders:new '{"id":7}'`,
    'arqon explain orders:new --as-subject ada --as-grant publish=orders:*',
  );
  return verb.action(async (target: string, payload: string, options: ExplainOptions) => {
    const [room = '', channel] = target.split(':', 2);
    const { asSubject, asRole, asGrant } = options;
    const as = given({ subject: asSubject, role: asRole, grants: asGrant });
    const args = {
      room,
      ...given({ channel }),
      payload: parseObject(textOrStdin(payload), 'the argument [payload]'),
      ...(Object.keys(as).length === 0 ? {} : { as }),
    };
    await printResult(options.json, await ask(options, 'op.rules.explain', args), showExplanation);
  });
}

function showExplanation({ rules, effective, origins, may, publish, hooks, receivers }: Explanation): StyledText {
  const { allowed, error_code: code, reason, casil, schema } = publish;
  const verdict = allowed ? 'it would be published' : text`it would be refused: ${reason ?? ''} (${code ?? ''})`;
  const allowedActions = Object.entries(may).flatMap(([action, granted]) => (granted ? [action] : []));
  return lines([
    verdict,
    text`may: ${allowedActions.join(', ') || 'nothing'}`,
    ...(casil === undefined ? [] : [text`content policy: ${casil.decision} (${casil.reason_code})`]),
    ...(schema === undefined || schema.ok
      ? []
      : [text`schema: expected ${schema.expected ?? ''} at ${schema.path ?? ''}`]),
    text`receivers: ${receivers.connections}`,
    ...listed(
      'groups',
      receivers.groups.map(({ group, webhook, source }) => `${group ?? `webhook ${webhook}`} (${source})`),
    ),
    ...listed(
      'asked before',
      hooks.map(({ on, host }) => `${on} ${host}`),
    ),
    text`rules: ${rules.map(({ match, from }) => `${match} (${from})`).join(', ') || 'none'}`,
    table(
      ['FIELD', 'VALUE', 'FROM'],
      fieldsOf(effective).map(([field, value]) => [field, value, origins[field] ?? 'configuration']),
    ),
  ]);
}

function listed(name: string, all: readonly string[]): StyledText[] {
  return all.length === 0 ? [] : [text`${name}: ${all.join(', ')}`];
}

function fieldsOf({ history = {}, ...rest }: JsonObject): [string, StyledText][] {
  const parts = Object.entries(history as JsonObject).map(([name, value]) => [`history.${name}`, value] as const);
  return [...parts, ...Object.entries(rest)].map(([name, value]) => [name, StyledText.json(value)]);
}

function from(source: 'store' | 'file'): (rule: ChannelRule) => readonly [ChannelRule, string] {
  return (rule) => [rule, source];
}

function listOf(rules: readonly (readonly [ChannelRule, string])[]): StyledText {
  return table(
    ['MATCH', 'SETTLES', 'FROM'],
    rules.map(([{ match, ...settled }, source]) => [match, StyledText.json(settled), source]),
  );
}
