import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { HttpRefusal, Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

/** `GET /client.js`: the client for pages without a bundler. */
export function clientRoute(): AnyRoute {
  let reply: Reply | undefined;
  return route({
    method: 'get',
    path: '/client.js',
    tag: 'client',
    summary: 'The client as one ES module: `import { ArqonBusClient } from "/client.js"`.',
    access: 'open',
    answer: 'text/javascript',
    run: () => {
      reply ??= readClient();
      return reply;
    },
  });
}

function readClient(): Reply {
  let code: string;
  try {
    code = readFileSync(createRequire(import.meta.url).resolve('@arqonbus/client/browser'), 'utf8');
  } catch {
    throw new HttpRefusal(501, 'FEATURE_DISABLED', 'This server was built without the client for browsers.');
  }
  return new Reply(200, code, {
    'Content-Type': 'text/javascript; charset=utf-8',
    'Cache-Control': 'no-cache',
    ETag: `"${createHash('sha256').update(code).digest('hex').slice(0, 32)}"`,
    // Needed to load a module from another origin; it contains nothing secret.
    'Access-Control-Allow-Origin': '*',
  });
}
