import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatWithOptions } from 'node:util';
import { afterAll, describe, expect, it, vi } from 'vitest';
import * as exported from './index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'casil-readme-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs a program against this package; answers the lines that it printed. */
async function run(name: string, program: string): Promise<string[]> {
  const lines: string[] = [];
  const printed = vi.spyOn(console, 'log').mockImplementation((...values: unknown[]) => {
    lines.push(formatWithOptions({ colors: false }, ...(values as [unknown])));
  });
  const path = join(scratch, `${name}.ts`);
  writeFileSync(path, program);
  try {
    await import(/* @vite-ignore */ path);
  } finally {
    printed.mockRestore();
  }
  return lines;
}

describe('the README', () => {
  const page = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

  it('has an example that prints what it says', async () => {
    const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
    const [, output = ''] = /```text\n([\s\S]*?)```/.exec(page) ?? [];
    expect(await run('readme', program)).toEqual(output.trimEnd().split('\n'));
  });

  it('names everything that the package exports as a value, but for the class behind it', () => {
    for (const name of Object.keys(exported)) {
      if (name !== 'Casil' && name !== 'casilMetadata') expect(page).toContain(`\`${name}`);
    }
  });
});

const sources = readdirSync(new URL('.', import.meta.url))
  .filter((name) => /^[a-z-]+\.ts$/.test(name) && name !== 'compile-worker.ts')
  .map((name) => [name, readFileSync(new URL(name, import.meta.url), 'utf8')] as const);

/** Examples in docstrings: the text between the fences, and what its comments say it prints. */
const examples = sources.flatMap(([name, source]) =>
  [...source.matchAll(/^ \* ```ts\n([\s\S]*?)^ \* ```$/gm)].map(([, body = '']) => {
    const code = body.replaceAll(/^ \* ?/gm, '');
    const printed = [...code.matchAll(/; \/\/ (.*)$/gm)].map(([, text = '']) => text);
    return [`${name}: ${code.split('\n')[0]}`, code, printed] as const;
  }),
);

describe('the examples in the docstrings', () => {
  it('are there for everything that the package exports as a value', () => {
    for (const name of Object.keys(exported)) {
      expect(
        examples.some(([, code]) => code.includes(name)),
        name,
      ).toBe(true);
    }
  });

  it.each(examples)('%s', async (title, code, printed) => {
    const head = `import { ${Object.keys(exported).join(', ')}, type CasilDecision } from '@arqonbus/casil';\n`;
    const name = title.replaceAll(/\W/g, '_');
    const lines = await run(name, `${head}${code}`);
    expect(lines).toEqual(printed.map((text) => expect.stringMatching(beginning(text))));
  });
});

/** A comment may leave the end of what is printed out: `…`. */
function beginning(text: string): RegExp {
  const [start = '', rest] = text.split(' …');
  const literal = start.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(rest === undefined ? `^${literal}$` : `^${literal}`);
}
