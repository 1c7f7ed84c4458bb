import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '@arqonbus/protocol';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { pythonModule } from './python.ts';
import { ShapeReader } from './shape.ts';
import { typescriptModule } from './typescript.ts';

const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'arqonbus-types-'));
symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'node_modules'));
afterAll(() => rmSync(scratch, { recursive: true }));
/** Generated code needs nothing but a Python that is young enough. */
const python = process.env.ARQONBUS_PYTHON_VENV ? join(process.env.ARQONBUS_PYTHON_VENV, 'bin/python3') : 'python3';
const hasPython = spawnSync(python, ['-c', 'import sys; assert sys.version_info >= (3, 10)']).status === 0;

function modules(schemas: Readonly<Record<string, unknown>>): { ts: string; py: string } {
  const reader = new ShapeReader();
  const named = Object.entries(schemas).map(([match, schema]) => [match, reader.read(match, schema)] as const);
  const channels = new Map(named.map(([match, name]) => [match, { name, note: 'Typed.' }]));
  return { ts: typescriptModule(reader.declarations, channels), py: pythonModule(reader.declarations, channels) };
}

/** What the compiler says of files. */
function complaints(files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(scratch, name), text);
  const compilerOptions = {
    ...{ target: 'ES2022', module: 'NodeNext', strict: true, noEmit: true, skipLibCheck: true, types: [] },
    ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
  };
  writeFileSync(join(scratch, 'package.json'), '{"type":"module"}');
  writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: Object.keys(files) }));
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  return spawnSync(process.execPath, [compiler, '-p', scratch], { encoding: 'utf8' }).stdout;
}

/** Compiles and runs a module of Python and then `code`; what that prints. Throws what Python complains of. */
function runPython(name: string, text: string, code: string): string {
  writeFileSync(join(scratch, `${name}.py`), text);
  execFileSync(python, ['-m', 'py_compile', join(scratch, `${name}.py`)], { stdio: 'pipe' });
  if (spawnSync(python, ['-m', 'mypy', '--version']).status === 0) {
    writeFileSync(join(scratch, 'use.py'), `import ${name}\n`);
    execFileSync(python, ['-m', 'mypy', '--strict', 'use.py'], { cwd: scratch, stdio: 'pipe' });
  }
  return execFileSync(python, ['-c', `from ${name} import *\n${code}`], { cwd: scratch, encoding: 'utf8' });
}

const ORDER = {
  description: 'An order */ // of\nsomebody',
  type: 'object',
  properties: {
    id: { type: 'integer' },
    state: { enum: ['new', 'paid', null] },
    note: { type: ['string', 'null'], description: 'Any text.' },
    lines: { type: 'array', items: { $ref: '#/$defs/line' } },
    'ship-to': { $ref: '#/$defs/address~1eu' },
    tags: { type: 'object', additionalProperties: { type: 'string' } },
    pair: { prefixItems: [{ type: 'string' }, { type: 'number' }], items: false },
    more: {},
  },
  required: ['id', 'lines'],
  $defs: {
    line: { type: 'object', properties: { sku: { type: 'string' }, count: { type: 'integer' } }, required: ['sku'] },
    'address/eu': { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const EVENT = {
  type: 'object',
  properties: { at: { type: 'string' } },
  required: ['at'],
  oneOf: [
    { properties: { kind: { const: 'open' }, by: { type: 'string' } }, required: ['kind', 'by'] },
    { properties: { kind: { const: 'closed' } }, required: ['kind'] },
  ],
};

describe('types of typed channels', () => {
  it('are what the schemas say, in TypeScript', () => {
    const { ts } = modules({ 'orders:new': ORDER, 'orders:eu.*': EVENT });
    const use = `
import type { Channels } from './channels.ts';
type Order = Channels['orders:new'];
const order: Order = { id: 1, lines: [{ sku: 'a' }], state: null, tags: { a: 'b' }, pair: ['a', 1], more: { x: [1] } };
export const city: string | undefined = order['ship-to']?.city;
export const event: Channels['orders:eu.*'] = { at: '', kind: 'open', by: 'ada' };
// @ts-expect-error it lacks "lines"
export const short: Order = { id: 1 };
// @ts-expect-error no such state
export const strange: Order = { id: 1, lines: [], state: 'gone' };
// @ts-expect-error a line has its "sku"
export const empty: Order = { id: 1, lines: [{}] };
// @ts-expect-error one that is open says by whom
export const nobody: Channels['orders:eu.*'] = { at: '', kind: 'open' };
`;
    expect(complaints({ 'channels.ts': ts, 'use.ts': use.replace('channels.ts', 'channels.js') })).toBe('');
    expect(ts).toContain('/** An order * / // of somebody */');
  });

  it.runIf(hasPython)('are what the schemas say, in Python', () => {
    const { py } = modules({ 'orders:new': ORDER, 'orders:eu.*': EVENT });
    const told = runPython(
      'channels',
      py,
      [
        'import json',
        'o = OrdersNewPayload',
        'hints = {k: str(v) for k, v in o.__annotations__.items()}',
        'print(json.dumps([sorted(o.__required_keys__), sorted(o.__optional_keys__), list(Channels.__annotations__)]))',
      ].join('\n'),
    );
    expect(JSON.parse(told)).toEqual([
      ['id', 'lines'],
      ['more', 'note', 'pair', 'ship-to', 'state', 'tags'],
      ['orders:new', 'orders:eu.*'],
    ]);
    expect(py).toContain('"state": Union[Literal["new"], Literal["paid"], None],');
    expect(py).toContain('"tags": Dict[str, str],');
  });

  it('say that they know nothing where a schema says nothing that a type can', () => {
    const { ts, py } = modules({ 'a:b': true, 'a:c': { not: { type: 'string' } }, 'a:d': { $ref: '#/nowhere' } });
    expect(ts.match(/= unknown;/g)).toHaveLength(3);
    expect(py.match(/= Any$/gm)).toHaveLength(3);
    // One that leads to itself ends all the same.
    const deep = modules({ 'a:b': { $ref: '#/$defs/x', $defs: { x: { items: { $ref: '#/$defs/x' } } } } });
    expect(complaints({ 'deep.ts': deep.ts })).toBe('');
    let nested: JsonObject = {};
    for (let level = 0; level < 200; level += 1) nested = { type: 'array', items: nested };
    expect(modules({ 'a:b': nested }).ts).toContain('Array<unknown>');
    const many = { enum: Array.from({ length: 201 }, (_, index) => `v${index}`) };
    expect(modules({ 'a:b': many }).ts).toContain('= unknown;');
  });

  it('are harmless whatever names and texts the schemas hold', () => {
    const nasty = fc.oneof(
      fc.constantFrom(
        '*/ export const x = 1; /*',
        '"',
        "'",
        '\\',
        '\\"',
        '`',
        '\n',
        '\r',
        '\u2028',
        '\u202e',
        '\ud800',
        '😀',
        'ß',
        '"""',
        '\\u0022',
        '__proto__',
        'constructor',
        'class',
        'None',
        '',
        '#',
        '\0',
      ),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    const schema = fc.record({
      description: nasty,
      type: fc.constant('object'),
      properties: fc.dictionary(
        nasty,
        fc.oneof(
          fc.record({ const: nasty, description: nasty }),
          fc.record({ type: fc.constant('object'), properties: fc.dictionary(nasty, fc.constant({})) }),
        ),
        { maxKeys: 4 },
      ),
      required: fc.array(nasty, { maxLength: 3 }),
    });
    const schemas: Record<string, unknown> = Object.create(null);
    for (const [index, one] of fc.sample(schema, { numRuns: 25, seed: 7 }).entries()) {
      const match = fc.sample(nasty, { numRuns: 1, seed: index })[0] as string;
      schemas[`${index}${match}`] = one;
    }
    const { ts, py } = modules(schemas);
    expect(complaints({ 'nasty.ts': `${ts}\nconst all: Array<keyof Channels> = [];\nexport { all };\n` })).toBe('');
    if (!hasPython) return;
    const keys = runPython('nasty', py, 'import json\nprint(json.dumps(list(Channels.__annotations__)))');
    expect(JSON.parse(keys)).toEqual(Object.keys(schemas));
  });
});
