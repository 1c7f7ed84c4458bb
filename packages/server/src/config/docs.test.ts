import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configurationPage } from './docs.ts';
import { loadConfig } from './load.ts';
import { SETTINGS } from './settings.ts';

const PAGE = new URL('../../../../docs/configuration.md', import.meta.url);

describe('configurationPage', () => {
  it('is the committed docs/configuration.md (else: npm run docs)', () => {
    expect(readFileSync(PAGE, 'utf8')).toBe(configurationPage());
  });

  it('has a row for each setting, and tables with even rows', () => {
    const rows = configurationPage()
      .split('\n')
      .filter((line) => line.startsWith('| '));
    for (const { env, path } of SETTINGS) {
      expect(rows.filter((row) => row.startsWith(`| \`${env}\` `) && row.includes(`\`${path}\``))).toHaveLength(1);
    }
    expect(new Set(rows.map((row) => row.split(/(?<!\\)\|/).length))).toEqual(new Set([8]));
  });

  it('shows an example of a file that loads without a warning', () => {
    const text = /```yaml\n([^`]*)```/.exec(configurationPage())?.[1] ?? 'no example';
    const loaded = loadConfig({ env: { ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(32) }, file: { path: 'example', text } });
    expect(loaded).toMatchObject({ ok: true, warnings: [] });
  });
});
