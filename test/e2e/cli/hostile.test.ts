import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../../packages/server/src/cli/program.ts';
import { below, pathOf } from '../../../packages/server/src/cli/verb.ts';
import { Arqon } from './arqon.ts';
import { EVIL, type HostileBus, startHostileBus } from './hostile-bus.ts';

/** What follows each verb that talks to a bus; a verb that talks to none is not here. */
const TALKING: Readonly<Record<string, readonly string[]>> = {
  tail: ['--limit', '4', '--timeout-seconds', '3'],
  pub: ['lab:x', '{}', '--ack'],
  send: ['someone', '{}', '--ack'],
  request: ['someone', '{}', '--timeout-seconds', '3'],
  command: ['status'],
  status: [],
  version: [],
  rooms: [],
  channels: ['lab'],
  clients: [],
  history: ['lab:x', '--limit', '1'],
  top: ['--json', '--interval-seconds', '0.1'],
  doctor: [],
  bench: ['--seconds', '0.1', '--subscribers', '0'],
  'store get': ['k'],
  'store set': ['k', '1'],
  'store delete': ['k'],
  'store list': [],
  'store watch': ['--limit', '1'],
  wait: ['lab:x', '--timeout', '1'],
  work: ['lab:x', '--group', 'g', '--limit', '1', '--', 'false'],
  presence: ['lab:x'],
  stream: ['lab:x'],
  'mail list': ['--subject', EVIL],
  'mail read': ['--subject', 'x', '--limit', '1'],
  'mail send': ['@someone', '{}', '--receipt'],
  'group create': ['lab:x', 'g'],
  'group list': [],
  'group info': ['lab:x', 'g'],
  'group seek': ['lab:x', EVIL, '--sequence', '1'],
  'group pause': ['lab:x', EVIL],
  'group resume': ['lab:x', EVIL],
  'group delete': ['lab:x', EVIL],
  'group dead-letters': ['lab:x', 'g'],
  'group retry': ['lab:x', EVIL],
  'lease acquire': ['k', '--keep'],
  'lease release': [EVIL],
  'lease list': [],
  'webhook register': ['http://127.0.0.1:1/', 'lab'],
  'webhook list': [],
  'webhook unregister': [EVIL],
  'webhook dead-letters': [EVIL],
  'webhook retry': [EVIL],
  'cron schedule': ['lab:x', '{}', '--delay-seconds', '1'],
  'cron list': [],
  'cron cancel': [EVIL],
  'omega status': [],
  'omega register': [EVIL, EVIL],
  'omega substrates': [],
  'omega unregister': [EVIL],
  'omega emit': [EVIL, EVIL],
  'omega events': [],
  'omega clear': [],
  'rules get': [],
  'rules set': ['rules.json'],
  explain: ['lab:x', '{}'],
  types: ['--lang', 'ts'],
  'access block': [EVIL, '--reason', EVIL],
  'access unblock': [EVIL],
  'access revoke': ['--jti', EVIL],
  'access disconnect': [EVIL],
  'access list': [],
  'casil get': [],
  'casil reload': ['{}'],
};
const LOCAL = [
  'serve',
  'casil check',
  'token mint',
  'token inspect',
  'completion',
  'config show',
  'config check',
  'config docs',
  'storage migrate',
  'storage stats',
  'storage check',
  'backup',
  'restore',
  'mcp',
];

/** This program's own: line ends of a terminal, styles, and a status line that is drawn again. */
const OWN = new RegExp(`\r\n|(?:\r${'\u001b'}\\[2K)|${'\u001b'}\\[[0-9]{1,2}m`, 'g');
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u;
/** How the live view moves about its screen. */
const SCREEN = new RegExp(`${'\u001b'}\\[(?:\\?1049[hl]|\\?25[hl]|H|J|K)`, 'g');
/** How many run at a time. */
const AT_ONCE = 3;

let bus: HostileBus;
let arqon: Arqon;

beforeAll(async () => {
  bus = await startHostileBus();
  arqon = new Arqon();
  writeFileSync(join(arqon.folder, 'rules.json'), '[]');
});
afterAll(async () => {
  await arqon.stop();
  await bus.stop();
});

/** What a verb prints on a terminal, once that has been held to the rule. */
async function print(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const printed = await arqon.show(args, env);
  const at = UNSAFE.exec(printed.replace(OWN, '\n'));
  if (at !== null) throw new Error(`arqon ${args.join(' ')} printed ${JSON.stringify(printed)}`);
  return printed;
}

/** All verbs that talk to a bus, and what each prints. */
async function printAll(env: Readonly<Record<string, string>>): Promise<Map<string, string>> {
  const printed = new Map<string, string>();
  const rest = Object.entries(TALKING);
  const work = async (): Promise<void> => {
    for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
      printed.set(next[0], await print([...next[0].split(' '), ...next[1]], env));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return printed;
}

/** The verbs whose printout does not hold the word. */
function silent(printed: ReadonlyMap<string, string>): string[] {
  return [...printed].filter(([, text]) => !text.includes('evil')).map(([verb]) => verb);
}

describe('a terminal that looks at a hostile bus', () => {
  it('is tried with every verb', () => {
    const leaves = below(createProgram())
      .filter(({ commands }) => commands.length === 0)
      .map((verb) => pathOf(verb).replace('arqon ', ''));
    expect([...Object.keys(TALKING), ...LOCAL].sort()).toEqual([...leaves].sort());
  });

  it('is not driven by its results', async () => {
    const printed = await printAll({ ARQONBUS_WS_URL: bus.url, ARQONBUS_HTTP_URL: bus.http });
    expect(silent(printed).sort()).toEqual(['access disconnect', 'bench', 'rules set', 'store delete', 'store set']);
  }, 120_000);

  it('is not driven by its refusals', async () => {
    const printed = await printAll({ ARQONBUS_WS_URL: bus.errors, ARQONBUS_HTTP_URL: `${bus.http}/refused` });
    expect(silent(printed)).toEqual([]);
  }, 120_000);

  it('is not driven by a refused handshake, by frames that are no envelopes, or by the live view', async () => {
    expect(await print(['rooms'], { ARQONBUS_WS_URL: bus.refusing })).toContain('evil');
    expect(await print(['status'], { ARQONBUS_WS_URL: bus.refusing })).toContain('evil');
    for (const verb of [
      ['tail', '--limit', '5', '--raw'],
      ['tail', '--limit', '5'],
      ['history', 'lab:x'],
    ]) {
      const printed = await print(verb, { ARQONBUS_WS_URL: bus.nonsense });
      expect(printed).toContain('evil');
      expect(printed).not.toMatch(/fault of arqon/);
    }
    const top = arqon.runOnTerminal(['top', '--interval-seconds', '0.1'], { ARQONBUS_HTTP_URL: bus.http });
    await top.line(/OWNED/);
    top.child.stdin.write('q');
    await top.ended;
    expect(UNSAFE.exec(top.raw.replace(SCREEN, '').replace(OWN, '\n'))).toBeNull();
  }, 120_000);

  it('is not driven by arguments and the names of files', async () => {
    for (const args of [
      [EVIL],
      ['rooms', `--${EVIL}`],
      ['casil', 'check', EVIL],
      ['token', '--secret-file', EVIL],
      ['tail', '--ca', EVIL],
    ]) {
      expect(await print(args, {})).toContain('evil');
    }
  });
});
