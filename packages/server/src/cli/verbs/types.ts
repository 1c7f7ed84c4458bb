import { writeFileSync } from 'node:fs';
import { type ChannelRule, compilePattern, isChannelPattern, isRoomName, WILDCARD } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { messageOf, UsageError } from '../exit.ts';
import { ask } from '../remote/bus.ts';
import { type BusOptions, withBusOptions } from '../remote/options.ts';
import { requireSettings } from '../settings.ts';
import { print, remark } from '../terminal/output.ts';
import { StyledText, text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

interface TypesOptions extends BusOptions {
  readonly lang: 'ts' | 'python';
  readonly room?: string;
  readonly out?: string;
  readonly config?: string;
}

/** `arqon types`: the payloads of typed channels, as types of a programming language. */
export function typesVerb(): Command {
  const verb = new Command('types').description(
    'Write the payload types that the schemas of channel rules describe, from a bus (as an admin) or from a file.',
  );
  withBusOptions(verb)
    .addOption(new Option('--lang <language>', 'language of the types').choices(['ts', 'python']).makeOptionMandatory())
    .option('--room <pattern>', 'only channels of rooms of this name or pattern')
    .option('-o, --out <file>', 'write to this file instead of standard output')
    .option('--config <file>', 'read the rules from this configuration file instead of a bus');
  withExamples(
    verb,
    'arqon types --lang ts -o channels.ts',
    'arqon types --lang python --room orders --config arqonbus.config.yaml',
  );
  return verb.action(async (options: TypesOptions) => {
    const { lang, room = WILDCARD, out } = options;
    if (!isRoomName(room) && !isOpenEnded(room)) {
      throw new UsageError(
        `--room is the name of a room, or a pattern whose segments are names or "*"; ${room} is neither.`,
      );
    }
    const rules = typedRules(await rulesOf(options), room);
    if (rules.size === 0) {
      remark(
        text`no rule for ${room === WILDCARD ? 'any room' : room} has a schema; "op.rules.set" or the setting "rules" gives it one.`,
      );
    }
    const { ShapeReader } = await import('../types/shape.ts');
    const { typescriptModule } = await import('../types/typescript.ts');
    const { pythonModule } = await import('../types/python.ts');
    const reader = new ShapeReader();
    const channels = new Map(
      [...rules].map(([match, { schema, mode }]) => {
        const note = mode === 'enforce' ? 'Other payloads are refused.' : 'Other payloads are reported.';
        return [match, { name: reader.read(match, schema), note }];
      }),
    );
    const written = (lang === 'ts' ? typescriptModule : pythonModule)(reader.declarations, channels);
    if (out === undefined) await print(StyledText.layout(written.trimEnd()));
    else save(out, written);
  });
}

async function rulesOf(options: TypesOptions): Promise<readonly ChannelRule[]> {
  if (options.config === undefined) {
    const { base, rules } = await ask(options, 'op.rules.get', {});
    return [...base, ...rules];
  }
  const { config } = await requireSettings({ config: options.config });
  const { parseRules } = await import('@arqonbus/bus');
  try {
    return parseRules(config.rules);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** The schema of each channel or pattern that has one; the later of two rules for the same match wins. */
function typedRules(rules: readonly ChannelRule[], wanted: string): Map<string, NonNullable<ChannelRule['schema']>> {
  const typed = new Map<string, NonNullable<ChannelRule['schema']>>();
  for (const { match, schema } of rules) {
    const [room = ''] = match.split(':', 1);
    if (schema !== undefined && mayMeet(room, wanted)) typed.set(match, schema);
  }
  return typed;
}

/** Whether two names or patterns may match the same room; two patterns always count as matching. */
function mayMeet(one: string, other: string): boolean {
  const [isOpen, isOtherOpen] = [isOpenEnded(one), isOpenEnded(other)];
  if (one === other || (isOpen && isOtherOpen)) return true;
  if (isOpen) return one === WILDCARD || compilePattern(one)(other);
  return isOtherOpen && (other === WILDCARD || compilePattern(other)(one));
}

function isOpenEnded(room: string): boolean {
  return room === WILDCARD || isChannelPattern(room);
}

function save(path: string, written: string): void {
  try {
    writeFileSync(path, written);
  } catch (error) {
    const { code = 'unwritable' } = error as NodeJS.ErrnoException;
    throw new UsageError(`--out names ${path}, which cannot be written (${code}).`);
  }
}
