import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { BusError } from '@arqonbus/protocol';
import { z } from 'zod';
import { HttpRefusal, Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

/** Allows only resources of the same origin, and only the built script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
};

/** `GET /` and `GET /assets/{file}`: the operators' dashboard. Its URLs are relative, so a proxy may add a prefix. */
export function dashboardRoutes(): AnyRoute[] {
  let files: Built | undefined;
  const built = (): Built => {
    files ??= readBuilt();
    return files;
  };
  return [
    route({
      method: 'get',
      path: '/',
      tag: 'dashboard',
      summary: 'The dashboard: a page to monitor and manage the bus, with the rights of the user who signs in.',
      access: 'open',
      answer: 'text/html',
      run: () => built().page,
    }),
    route({
      method: 'get',
      path: '/assets/{file}',
      tag: 'dashboard',
      summary: 'The files of the dashboard.',
      access: 'open',
      params: z.object({ file: z.string() }),
      answer: 'text/javascript',
      run: ({ params: { file } }) => {
        const found = built().assets.get(file);
        if (found === undefined) throw new BusError('NOT_FOUND', 'The dashboard has no such file; open / again.');
        return found;
      },
    }),
  ];
}

interface Built {
  readonly page: Reply;
  readonly assets: ReadonlyMap<string, Reply>;
}

function readBuilt(): Built {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('@arqonbus/server/package.json')),
    'dist/dashboard',
  );
  try {
    const page = new Reply(200, readFileSync(join(folder, 'index.html'), 'utf8'), {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': POLICY,
      'Cache-Control': 'no-cache',
    });
    const names = readdirSync(join(folder, 'assets'));
    return { page, assets: new Map(names.map((name) => [name, readAsset(join(folder, 'assets'), name)])) };
  } catch {
    throw new HttpRefusal(501, 'FEATURE_DISABLED', 'This server was built without the dashboard.');
  }
}

function readAsset(folder: string, name: string): Reply {
  return new Reply(200, readFileSync(join(folder, name), 'utf8'), {
    'Content-Type': TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'text/plain; charset=utf-8',
    // The file name contains a hash of the content.
    'Cache-Control': 'public, max-age=31536000, immutable',
  });
}
