import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { cliPage } from './docs.ts';
import { createProgram } from './program.ts';
import { below, examplesOf, pathOf } from './verb.ts';

const program = createProgram();
const verbs = below(program);

describe('the reference of the command line', () => {
  it('is committed as the verbs say', () => {
    const committed = readFileSync(new URL('../../../../docs/cli.md', import.meta.url), 'utf8');
    expect(committed).toBe(cliPage());
  });

  it('names every verb', () => {
    for (const verb of verbs) expect(cliPage()).toContain(`# ${pathOf(verb)}\n`);
  });
});

describe('every verb', () => {
  it.each(verbs.map((verb) => [pathOf(verb), verb] as const))('%s has a description and examples', (_, verb) => {
    expect(verb.description()).toMatch(/[.)]$/);
    expect(examplesOf(verb).length).toBeGreaterThan(0);
  });

  it('has examples whose verbs and options exist', () => {
    for (const example of verbs.flatMap(examplesOf)) {
      for (const line of example.split(/\s*[|;]\s*|\$\(/).filter((part) => /\barqon /.test(part))) check(line);
    }
  });
});

function check(line: string): void {
  const words = line.slice(line.indexOf('arqon ') + 'arqon '.length).split(/\s+/);
  let verb: Command = program;
  while (words[0] !== undefined && verb.commands.some((child) => child.name() === words[0])) {
    const name = words.shift();
    verb = verb.commands.find((child) => child.name() === name)!;
  }
  expect(verb, line).not.toBe(program);
  // "arqon token --sub alice" means "arqon token mint --sub alice".
  const known = [verb, ...verb.commands].flatMap(({ options }) => options.flatMap(({ long, short }) => [long, short]));
  // What follows a "--" is another program's.
  const end = words.indexOf('--');
  const own = end < 0 ? words : words.slice(0, end);
  for (const word of own.filter((part) => part.startsWith('--'))) expect(known, line).toContain(word);
}
