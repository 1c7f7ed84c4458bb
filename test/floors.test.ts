import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Folder (or file) of the server → its floor. A file imports its own folder or a strictly lower floor. */
const SERVER_FLOORS: Readonly<Record<string, number>> = {
  'log.ts': 1,
  config: 1,
  auth: 1,
  metrics: 1,
  casil: 1,
  engine: 1,
  bus: 2,
  commands: 3,
  operators: 4,
  transport: 5,
  'server.ts': 6,
  'edge.ts': 6,
  cli: 7,
};
const MAX_LINES = 500;
const FORBIDDEN_NAMES = /^(utils?|helpers?|common|misc|shared)(\.|$)/;
const FORBIDDEN_CLASSES = /\bclass\s+\w*(Manager|Handler|Helper|Service|Utils?)\b/;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === 'node_modules' || name === 'dist' ? [] : filesUnder(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

function read(path: string): Source {
  const text = readFileSync(path, 'utf8');
  const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*'([\w@#./:-]+)'/g)].map((match) => match[1] as string);
  return { path: relative(root, path), text, imports };
}

const all = ['protocol', 'client', 'server'].flatMap((name) =>
  filesUnder(join(root, 'packages', name, 'src')).map(read),
);
/** Test files and the suites they share may reach anywhere. */
const product = all.filter(({ path }) => !/\.(test|suite)\.ts$/.test(path));

function target(source: Source, specifier: string): string {
  return relative(root, resolve(root, dirname(source.path), specifier));
}

function serverPart(path: string): string {
  return path.replace('packages/server/src/', '').split('/')[0] as string;
}

describe('the house', () => {
  it('has sources to check', () => {
    expect(product.length).toBeGreaterThan(50);
  });

  it('lets a server file import its own folder or a strictly lower floor', () => {
    const wrong: string[] = [];
    for (const source of product.filter(({ path }) => path.startsWith('packages/server/src/'))) {
      const part = serverPart(source.path);
      const floor = SERVER_FLOORS[part];
      if (floor === undefined) wrong.push(`${source.path}: its folder has no floor`);
      for (const specifier of source.imports.filter((one) => one.startsWith('.'))) {
        const other = serverPart(target(source, specifier));
        if (other === part || (part === 'server.ts' && other === 'edge.ts')) continue;
        const below = SERVER_FLOORS[other];
        if (below === undefined || floor === undefined || below >= floor)
          wrong.push(`${source.path} imports ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('keeps the protocol free of dependencies and of the platform', () => {
    const wrong = product
      .filter(({ path }) => path.startsWith('packages/protocol/'))
      .flatMap(({ path, imports }) =>
        imports.filter((one) => !one.startsWith('./')).map((one) => `${path} imports ${one}`),
      );
    expect(wrong).toEqual([]);
  });

  it('lets the client know the protocol and nothing of the server', () => {
    const allowed = /^(\.|#|@arqonbus\/protocol$|ws$)/;
    const wrong = product
      .filter(({ path }) => path.startsWith('packages/client/'))
      .flatMap(({ path, imports }) =>
        imports.filter((one) => !allowed.test(one)).map((one) => `${path} imports ${one}`),
      );
    expect(wrong).toEqual([]);
  });

  it('has the command line reach the client by its package, and only from its own floor', () => {
    const wrong = product.filter(
      ({ path, imports }) => imports.includes('@arqonbus/client') && !path.startsWith('packages/server/src/cli/'),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it('has no import cycle, types included', () => {
    const graph = new Map(
      product.map((source) => [
        source.path,
        source.imports.filter((one) => one.startsWith('.')).map((one) => target(source, one)),
      ]),
    );
    expect(findCycles(graph)).toEqual([]);
  });

  it(`keeps every file within ${MAX_LINES} lines`, () => {
    const long = product.filter(({ text }) => text.split('\n').length - 1 > MAX_LINES);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  it('names files and classes for what they are', () => {
    const vague = product.filter(({ path }) => path.split('/').some((part) => FORBIDDEN_NAMES.test(part)));
    expect(vague.map(({ path }) => path)).toEqual([]);
    const classes = product.filter(({ text }) => FORBIDDEN_CLASSES.test(text));
    expect(classes.map(({ path }) => path)).toEqual([]);
  });

  it('has no barrel file inside a package', () => {
    const barrels = product.filter(({ path }) => /\/index\.ts$/.test(path)).map(({ path }) => path);
    expect(barrels.sort()).toEqual(['packages/client/src/index.ts', 'packages/protocol/src/index.ts']);
  });
});

function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) {
      cycles.push([...trail.slice(seen), path].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}
