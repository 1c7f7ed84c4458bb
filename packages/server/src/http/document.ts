import { z } from 'zod';
import type { App } from './app.ts';
import { type AnyRoute, route } from './route.ts';

/** `GET /openapi.json`, made from the very routes that are served. */
export function documentRoute(app: () => App, version: string): AnyRoute {
  let document: object | undefined;
  return route({
    method: 'get',
    path: '/openapi.json',
    tag: 'server',
    summary: 'This document.',
    access: 'admin',
    answer: z.looseObject({ openapi: z.string() }),
    run: () => {
      document ??= makeDocument(app(), version);
      return document;
    },
  });
}

function makeDocument(app: App, version: string): object {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'apiKey', { type: 'apiKey', in: 'header', name: 'X-API-Key' });
  registry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'ArqonBus', version, description: 'Health, figures and administration of a bus, and publishing.' },
  });
}
