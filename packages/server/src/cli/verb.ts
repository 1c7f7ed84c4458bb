import type { Command } from 'commander';

/** The sections of `arqon --help`. */
export const GROUPS = {
  run: 'Run a bus:',
  talk: 'Talk over a bus:',
  look: 'Look at a bus:',
  operate: 'Operators of a bus:',
  tools: 'Tools:',
} as const;

const examples = new WeakMap<Command, readonly string[]>();

/** Adds examples, whole command lines, to a verb's help and the generated reference. */
export function withExamples(verb: Command, ...lines: readonly string[]): Command {
  examples.set(verb, lines);
  return verb.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

export function examplesOf(verb: Command): readonly string[] {
  return examples.get(verb) ?? [];
}

/** All commands below one, in help order. */
export function below(command: Command): readonly Command[] {
  return command.commands.flatMap((child) => [child, ...below(child)]);
}

/** `arqon token inspect`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
