import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/** What a platform or a test provides, rather than what one calls. */
const PROVIDED = ['Clock', 'OpenSocket', 'Socket', 'SocketEnd', 'SocketEvents', 'SocketRequest'];
/** Classes that the exported ones are made of. */
const BASES = ['CommandCaller', 'Emitter'];

const source = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

interface Declaration {
  readonly name: string;
  readonly kind: string;
  readonly comment: string;
  readonly members: readonly { readonly name: string; readonly comment: string }[];
}

/** What a source exports, by the layout that the formatter gives it. */
function declarationsOf(text: string): Declaration[] {
  const head = /((?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?)export (?:abstract )?(class|interface|type|function) (\w+)/g;
  return [...text.matchAll(head)].map(({ 1: comment = '', 2: kind = '', 3: name = '', index }) => {
    const body = text.slice(index).split(/\n}\n/)[0] ?? '';
    const member =
      /((?:\n {2}\/\*\*(?:(?!\*\/)[\s\S])*\*\/)?)\n {2}(?:readonly |async |get |\*)*([a-z]\w*)\??(?=[<(:?]| *=)/g;
    const members = [...body.matchAll(member)].map((match) => ({ name: match[2] ?? '', comment: match[1] ?? '' }));
    return { name, kind, comment, members: kind === 'class' || kind === 'interface' ? members : [] };
  });
}

const files = [...source('./index.ts').matchAll(/from '(\.\/\w[\w-]*\.ts)'/g)].map((match) => match[1] as string);
const exported = new Set([...source('./index.ts').matchAll(/\b(?:type )?([A-Z]\w+)/g)].map((match) => match[1]));
const declarations = [...new Set([...files, './emitter.ts', './commands.ts'])]
  .flatMap((file) => declarationsOf(source(file)))
  .filter(({ name }) => exported.has(name) || BASES.includes(name));

describe('every public name', () => {
  it('is found', () => {
    expect(declarations.length).toBeGreaterThan(45);
    const client = declarations.find(({ name }) => name === 'ArqonBusClient');
    expect(client?.members.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['connect', 'drain', 'publish', 'state', 'sendJson']),
    );
    const found = new Set(declarations.map(({ name }) => name));
    expect([...exported].filter((name) => name !== undefined && !found.has(name))).toEqual([]);
  });

  it('has a comment with an example', () => {
    // The three together are one contract, shown by the one that a platform implements.
    const shown = ['SocketRequest', 'SocketEvents', 'Socket'];
    const without = declarations
      .filter(({ name }) => !shown.includes(name) && !BASES.includes(name))
      .filter(({ comment }) => !comment.includes('```ts'));
    expect(without.map(({ name }) => name)).toEqual([]);
    const methods = declarations
      .filter(({ kind }) => kind === 'class')
      .flatMap(({ name, members }) => members.map((member) => ({ ...member, of: name })))
      // Fields of errors and of a watch speak for themselves; later overloads belong to the first.
      .filter(({ of, name }) => !of.endsWith('Error') && name !== 'constructor')
      .filter(({ of, name }) => !(of === 'StoreWatch' && ['namespace', 'prefix'].includes(name)));
    const documented = new Set(
      methods.filter(({ comment }) => comment.includes('```ts') || comment.includes('@internal')).map(keyOf),
    );
    expect(methods.map(keyOf).filter((key) => !documented.has(key))).toEqual([]);
  });

  it('of the bus for tests has one too', () => {
    const entry = source('./testing/fake-server.ts');
    const names = [...entry.matchAll(/^export (?:type )?\{ (\w+) \} from '\.\/(fake-[\w-]+\.ts)'/gm)];
    const found = [...names.map(([, name, file]) => [name, file]), ['FakeServer', 'fake-server.ts']];
    expect(found).toHaveLength(5);
    for (const [name, file] of found) {
      const declared = declarationsOf(source(`./testing/${file}`)).find((each) => each.name === name);
      expect(declared?.comment, name).toContain('```ts');
    }
  });

  it('stands in the table of names', () => {
    const table = readFileSync(new URL('../../../docs/sdk.md', import.meta.url), 'utf8');
    const column = table
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) => line.split(/(?<!\\)\|/)[1] ?? '')
      .join('\n');
    const named = new Set([...column.matchAll(/\w+/g)].map(([word]) => word));
    const wanted = declarations
      .filter(({ name }) => !PROVIDED.includes(name) && !name.startsWith('Backoff'))
      .flatMap(({ members }) => members.filter(({ comment }) => !comment.includes('@internal')))
      .map(({ name }) => name)
      .filter((name) => name !== 'constructor' && name !== 'client_id');
    expect(wanted.length).toBeGreaterThan(80);
    expect([...new Set(wanted)].filter((name) => !named.has(name))).toEqual([]);
  });
});

function keyOf({ of, name }: { readonly of: string; readonly name: string }): string {
  return `${of}.${name}`;
}
