import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The floors of each package, lowest first; those of one line are side by side. A file imports its own folder or a
 * strictly lower floor. The longest path that fits a file names its floor.
 */
const FLOORS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  bus: [
    ['network.ts', 'timers.ts', 'raw-payload.ts'],
    [
      'engine',
      'schemas',
      'principal.ts',
      'counters.ts',
      'events.ts',
      'sampler.ts',
      'rate.ts',
      'memory.ts',
      'turn.ts',
      'clock.ts',
      'outbound',
    ],
    ['awaitable.ts', 'access.ts', 'anonymous.ts', 'sender-mark.ts', 'node-calls.ts', 'hops.ts'],
    ['options.ts', 'rules', 'access-list.ts'],
    ['connection'],
    ['channel.ts', 'subscribe/replayed-frames.ts'],
    [
      'rooms.ts',
      'streams/mark.ts',
      'system-sender.ts',
      'resolve.ts',
      'ephemeral.ts',
      'marks.ts',
      'hooks',
      'standings.ts',
    ],
    ['echo.ts', 'inspection.ts', 'is-member.ts', 'publish-hooks.ts', 'streams/known.ts'],
    [
      'streams/record-space.ts',
      'streams/written.ts',
      'subscribe/catch-up.ts',
      'subscribe/coverage.ts',
      'subscribe/interest.ts',
      'subscribe/missing.ts',
      'subscribe/retained.ts',
      'subscribe/roster.ts',
      'retention.ts',
      'publish.ts',
      'directory.ts',
      'lines.ts',
      'handover.ts',
    ],
    ['streams/texts.ts', 'subscribe/attendance.ts', 'subscribe/catch-ups.ts', 'subscribe/plan.ts'],
    ['hub.ts', 'activity.ts', 'direct.ts', 'profile.ts'],
    ['notices.ts', 'cluster.ts', 'submission.ts', 'streams/pieces.ts'],
    ['subscribe/presence.ts', 'subscribe/replays.ts'],
    [
      'history',
      'subscribe/join.ts',
      'subscribe/ruled-presence.ts',
      'subscribe/repair.ts',
      'catalog.ts',
      'idle.ts',
      'consumers',
      'streams',
    ],
    ['mail'],
    ['core.ts'],
    ['explain.ts', 'retreat.ts', 'subjects.ts'],
    ['ingress.ts', 'commands', 'greeting.ts'],
    ['operators', 'websocket', 'posts.ts'],
    ['create-options.ts'],
    ['given.ts', 'check-options.ts'],
    ['bus.ts'],
    ['index.ts'],
  ],
  mcp: [
    ['place.ts', 'agent.ts'],
    ['cursor.ts', 'reply-to.ts'],
    ['message.ts'],
    ['tool.ts'],
    ['reading.ts'],
    ['waiting.ts'],
    ['tools'],
    ['server.ts'],
    ['stdio.ts', 'agents.ts'],
    ['http.ts'],
    ['index.ts'],
  ],
  server: [
    ['log.ts', 'config', 'auth', 'metrics', 'casil'],
    ['telemetry'],
    ['http'],
    ['edge.ts'],
    ['server.ts'],
    ['workers'],
    ['cli'],
  ],
  dashboard: [['format'], ['model'], ['session'], ['components'], ['views'], ['main.tsx']],
};
const MAX_LINES = 500;
const FORBIDDEN_NAMES = /^(utils?|helpers?|common|misc|shared)(\.|$)/;
const FORBIDDEN_CLASSES = /\bclass\s+\w*(Manager|Helper|Service|Utils?)\b/;

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === 'node_modules' || name === 'dist' ? [] : filesUnder(path);
    return /\.tsx?$/.test(path) ? [path] : [];
  });
}

function read(path: string): Source {
  const text = readFileSync(path, 'utf8');
  const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*'([\w@#./:-]+)'/g)].map((match) => match[1] as string);
  return { path: relative(root, path), text, imports };
}

const all = ['protocol', 'client', 'casil', 'bus', 'mcp', 'dashboard', 'server'].flatMap((name) =>
  filesUnder(join(root, 'packages', name, 'src')).map(read),
);
/** Test files and the suites they share may reach anywhere. */
const product = all.filter(({ path }) => !/\.(test|suite)\.ts$/.test(path));

function target(source: Source, specifier: string): string {
  return relative(root, resolve(root, dirname(source.path), specifier));
}

/** The entry of {@link FLOORS} that a file stands on, and how high that is; undefined when none fits. */
function placeOf(path: string): { entry: string; floor: number } | undefined {
  const [, name = '', inside = ''] = /^packages\/([^/]+)\/src\/(.*)$/.exec(path) ?? [];
  const fitting = (FLOORS[name] ?? []).flatMap((entries, floor) =>
    entries.filter((entry) => inside === entry || inside.startsWith(`${entry}/`)).map((entry) => ({ entry, floor })),
  );
  return fitting.sort((one, other) => other.entry.length - one.entry.length)[0];
}

describe('the house', () => {
  it('has sources to check', () => {
    expect(product.length).toBeGreaterThan(50);
  });

  it.each(Object.keys(FLOORS))('lets a file of %s import its own folder or a strictly lower floor', (name) => {
    const wrong: string[] = [];
    for (const source of product.filter(({ path }) => path.startsWith(`packages/${name}/src/`))) {
      const here = placeOf(source.path);
      if (here === undefined) wrong.push(`${source.path} has no floor`);
      for (const specifier of source.imports.filter((one) => one.startsWith('.'))) {
        const there = placeOf(target(source, specifier));
        if (here === undefined || there === undefined || here.entry === there.entry) continue;
        if (there.floor >= here.floor) wrong.push(`${source.path} imports ${specifier}`);
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

  it('lets packages know only those below them', () => {
    const below: Readonly<Record<string, RegExp>> = {
      casil: /^@arqonbus\/protocol$/,
      bus: /^@arqonbus\/protocol$/,
      mcp: /^@arqonbus\/(protocol|client)$/,
      dashboard: /^@arqonbus\/(protocol|client)$/,
      server: /^@arqonbus\/(protocol|client|casil|bus|mcp)$/,
    };
    const wrong = product.flatMap(({ path, imports }) => {
      const allowed = below[path.split('/')[1] ?? ''];
      if (allowed === undefined) return [];
      return imports
        .filter((one) => one.includes('@arqonbus/') || one.includes('/packages/') || one.includes('/src/'))
        .filter((one) => !allowed.test(one))
        .map((one) => `${path} imports ${one}`);
    });
    expect(wrong).toEqual([]);
  });

  it('has the command line reach the client by its package, and only from its own floor', () => {
    const wrong = product.filter(
      ({ path, imports }) =>
        path.startsWith('packages/server/') &&
        imports.includes('@arqonbus/client') &&
        !path.startsWith('packages/server/src/cli/'),
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
    // What is made from the code is no page that anybody reads from top to bottom.
    const written = product.filter(({ text }) => !text.startsWith('// Made from '));
    const long = written.filter(({ text }) => text.split('\n').length - 1 > MAX_LINES);
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
    expect(barrels.sort()).toEqual(
      ['bus', 'casil', 'client', 'mcp', 'protocol'].map((name) => `packages/${name}/src/index.ts`),
    );
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
