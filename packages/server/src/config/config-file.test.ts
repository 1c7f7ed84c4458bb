import { describe, expect, it } from 'vitest';
import { parseConfigFile } from './config-file.ts';

const read = (text: string): ReturnType<typeof parseConfigFile> => parseConfigFile({ path: 'bus.yaml', text });

describe('parseConfigFile', () => {
  it('reads YAML and JSON alike', () => {
    const expected = new Map<string, unknown>([
      ['environment', 'staging'],
      ['server.port', 9200],
      ['casil.redactionPaths', ['pin']],
    ]);
    const yaml = 'environment: staging\nserver:\n  port: 9200\ncasil:\n  redactionPaths: [pin]\n';
    const json = '{"environment":"staging","server":{"port":9200},"casil":{"redactionPaths":["pin"]}}';
    expect(read(yaml)).toEqual({ values: expected, unknown: [], faults: [] });
    expect(read(json)).toEqual(read(yaml));
  });

  it('takes nothing from an empty file, an empty section or an empty key', () => {
    for (const text of ['', '# nothing\n', 'server:\n', 'server:\n  port:\n']) {
      expect(read(text)).toEqual({ values: new Map(), unknown: [], faults: [] });
    }
  });

  it('lists unknown keys of both levels', () => {
    const found = read('servr: {port: 1}\nserver: {prot: 1, host: a}\n__proto__: {port: 1}\n');
    expect(found.unknown).toEqual(['servr', 'server.prot', '__proto__']);
    expect([...found.values.keys()]).toEqual(['server.host']);
  });

  it('refuses what is no mapping', () => {
    expect(read('- a').faults).toEqual(['bus.yaml must hold a mapping of sections.']);
    expect(read('just words').faults).toEqual(['bus.yaml must hold a mapping of sections.']);
    expect(read('server: 9100').faults).toEqual(['server in bus.yaml must be a mapping of settings.']);
    expect(read('server: [9100]').faults).toEqual(['server in bus.yaml must be a mapping of settings.']);
  });

  it('tells where YAML is broken without quoting it', () => {
    const broken = [
      'http:\n  apiKey: "hunter2\n',
      'http:\n  apiKey: *hunter2\n',
      'http:\n  apiKey: !hunter2 x\n',
      'http:\n\tapiKey: hunter2\n',
      'hunter2: 1\nhunter2: 2\n',
      '{"http": hunter2',
    ];
    for (const text of broken) {
      const { faults, values } = read(text);
      expect(faults.length, text).toBeGreaterThan(0);
      expect(faults.join(), text).toMatch(/^bus\.yaml is not valid YAML: /);
      expect(faults.join(), text).not.toContain('hunter2');
      expect(values.size).toBe(0);
    }
    expect(read('a: 1\na: 2\n').faults).toEqual(['bus.yaml is not valid YAML: DUPLICATE_KEY at line 2, column 1.']);
  });

  it('survives aliases made to blow up or to bite their tail', () => {
    const levels = Array.from({ length: 30 }, (_, n) => `l${n + 1}: &l${n + 1} [*l${n}, *l${n}, *l${n}]`);
    expect(read(['l0: &l0 [x]', ...levels].join('\n')).faults).toHaveLength(1);
    expect(read('casil:\n  redactionPaths: &a [*a]\n').faults).toEqual([]);
  });
});
