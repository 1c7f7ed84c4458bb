import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

function testFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' || entry.name === 'dist' ? [] : testFiles(path);
    return /\.(test|suite)\.ts$/.test(entry.name) ? [path] : [];
  });
}

const rules = [...readFileSync(join(root, 'docs/protocol.md'), 'utf8').matchAll(/\*\*(P\d+\.\d+)\*\*/g)].map(
  (match) => match[1] as string,
);
const titles = ['packages', 'test']
  .flatMap(testFiles)
  .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(/\bit(?:\.each\(.*\))?\(\s*[`'"]([^`'"]*)/g)])
  .map((match) => match[1] as string);

describe('the rules of docs/protocol.md', () => {
  it('are numbered once each', () => {
    expect(rules.length).toBeGreaterThan(70);
    expect(new Set(rules).size).toBe(rules.length);
  });

  it('each have a test that names them', () => {
    const tested = new Set(titles.flatMap((title) => title.match(/P\d+\.\d+/g) ?? []));
    expect(rules.filter((rule) => !tested.has(rule))).toEqual([]);
  });

  it('are not named by tests when they do not exist', () => {
    const named = titles.flatMap((title) => title.match(/P\d+\.\d+/g) ?? []);
    expect(named.filter((rule) => !rules.includes(rule))).toEqual([]);
  });
});
