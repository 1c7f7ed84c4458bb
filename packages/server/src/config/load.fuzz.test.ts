import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileVariable } from './given.ts';
import { type Loaded, type LoadInput, loadConfig } from './load.ts';
import { preflight, securityWarnings } from './preflight.ts';
import { redact, settingValue } from './redact.ts';
import { SETTINGS } from './settings.ts';

const SECRETS = SETTINGS.filter(({ secret }) => secret !== undefined);

const variable = fc.oneof(
  fc.constantFrom(...SETTINGS.map(({ env }) => env)),
  fc.constantFrom(...SETTINGS.map(fileVariable)),
  fc.string().map((end) => `ARQONBUS_${end}`),
);
/** Values that come near to what settings take, and others. */
const value = fc.oneof(
  fc.constantFrom(
    'prod',
    'true',
    'off',
    '0',
    '-1',
    '9100',
    'redis',
    '[',
    '["a"]',
    '{',
    '{"a":["b"]}',
    'a:b;',
    '*',
    '__proto__',
  ),
  fc.constantFrom(...SETTINGS.map(({ kind, default: written }) => kind.format(written))),
  fc.webUrl(),
  fc.string({ unit: 'binary' }),
);
const env = fc.dictionary(variable, value, { noNullPrototype: true });
const file = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc.constantFrom('a: *b', '? [a]\n: b', '- a', '&a [*a]', 'server: !x {}', '%YAML 9', '"'),
  fc
    .array(fc.tuple(fc.constantFrom(...SETTINGS.map(({ path }) => path)), fc.oneof(value, fc.jsonValue())), {
      maxLength: 5,
    })
    .map(inSections),
);

function inSections(entries: readonly (readonly [path: string, given: unknown])[]): string {
  const sections: Record<string, Record<string, unknown> | unknown> = {};
  for (const [path, given] of entries) {
    const [section, name] = path.split('.');
    sections[section!] = name === undefined ? given : { ...(sections[section!] as object | undefined), [name]: given };
  }
  return JSON.stringify(sections);
}

/** Unknown names are not part of a configuration that is written out. */
function isRemark(warning: string): boolean {
  return !warning.includes('is not a setting');
}

/** All that is ever shown of a configuration. */
function everythingShown(loaded: Loaded): string {
  if (!loaded.ok) return JSON.stringify([loaded.faults, loaded.warnings]);
  const { config, warnings, sources } = loaded;
  return JSON.stringify([warnings, sources, redact(config), securityWarnings(config), preflight(config)]);
}

describe('loadConfig', () => {
  it('never throws, and either finds faults or makes a configuration that its own kinds accept', () => {
    fc.assert(
      fc.property(env, file, fc.anything(), (variables, text, flag) => {
        const readFile = (path: string): string => {
          if (path.length % 2 === 0) throw new Error(path);
          return path;
        };
        const loaded = loadConfig({ env: variables, file: { path: 'f', text }, flags: { port: flag }, readFile });
        if (!loaded.ok) {
          expect(loaded.faults.length).toBeGreaterThan(0);
          return;
        }
        const entries = SETTINGS.map((setting) => [setting.path, settingValue(loaded.config, setting)] as const);
        const again = loadConfig({ file: { path: 'again', text: inSections(entries) } });
        expect(again).toMatchObject({ ok: true, config: loaded.config, warnings: loaded.warnings.filter(isRemark) });
      }),
      { numRuns: 500 },
    );
  });

  it('never shows a secret, wherever it was put', () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9]{8}$/).map((random) => `hunter2${random}`);
    const shapes = fc.constantFrom<(given: string) => string>(
      (given) => given,
      (given) => ` ${given}\n`,
      (given) => `redis://:${given}@h`,
      (given) => `redis://me:${given}@h:6379/0?x=1`,
      (given) => `valkey://${given}@h`,
      (given) => `postgres://u:p@h/db?password=${given}&sslmode=require`,
      (given) => `https://u:${given}@h/keys`,
      (given) => `http://u:${given}@h:99999`,
      (given) => `:${given}@h`,
      (given) => `redis://u:${given}/x@h`,
    );
    const places = fc.constantFrom<(name: string, path: string, given: string) => LoadInput>(
      (name, _, given) => ({ env: { [name]: given } }),
      (name, _, given) => ({ env: { [name]: given, [`${name}_FILE`]: given } }),
      (name, _, given) => ({ env: { [`${name}_FILE`]: '/run/x' }, readFile: () => given }),
      // A secret where the name of its file belongs.
      (name, _, given) => ({ env: { [`${name}_FILE`]: given } }),
      (name, _, given) => ({ env: { [`${name}X`]: given, [`${name}_FIL`]: given } }),
      (_, path, given) => ({ file: { path: 'f', text: `${path.replace('.', ':\n  ')}: ${given}` } }),
      (_, path, given) => ({ file: { path: 'f', text: `${path.replace('.', ':\n  ')}: ${JSON.stringify(given)}` } }),
      (_, path, given) => ({ file: { path: 'f', text: `${path.replace('.', ':\n  ')}: ["${given}"` } }),
      (_, path, given) => ({ file: { path: 'f', text: `${path.replace('.', ':\n  ')}: *${given}` } }),
    );
    const environment = fc.constantFrom('dev', 'prod');
    let held = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...SECRETS),
        secret,
        shapes,
        places,
        environment,
        (setting, given, shape, place, where) => {
          const input = place(setting.env, setting.path, shape(given));
          const loaded = loadConfig({ ...input, env: { ...input.env, ARQONBUS_ENVIRONMENT: where } });
          if (!loaded.ok) refused++;
          else if (JSON.stringify(loaded.config).includes(given)) held++;
          expect(everythingShown(loaded)).not.toContain(given);
        },
      ),
      { numRuns: 1_000 },
    );
    // Else the secrets would not have come to where they might be shown.
    expect(held).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  });
});
