import type { OpenAPIHono, RouteConfig } from '@hono/zod-openapi';
import { z } from 'zod';
import { type AnyRoute, route } from './route.ts';

/** The body of every error. */
export const ERROR_SCHEMA: z.ZodType = z
  .object({
    error: z.string().describe('One sentence a person can act on.'),
    error_code: z.string().describe('A code of the protocol’s catalogue.'),
    details: z.looseObject({ retryable: z.boolean() }).describe('Facts that a program can act on.'),
  })
  .describe('Every answer but success.');

const TENANT = z.string().optional().describe('For operators: the tenant that this is about.');

const SECURITY = [{ apiKey: [] }, { bearer: [] }];

/** A route as an OpenAPI entry; `error` is the registered error schema. */
export function describeRoute(one: AnyRoute, error: z.ZodType): RouteConfig {
  const { method, path, summary, tag, access, query, params, body, answer, also = {} } = one;
  const content = typeof answer === 'string' ? { [answer]: { schema: z.string() } } : json(answer);
  const responses: RouteConfig['responses'] = { [one.status ?? 200]: { description: 'Success.', content } };
  for (const [status, description] of Object.entries(also)) responses[status] = { description, content };
  responses.default = { description: 'Refused, or failed.', content: json(error) };
  const isOpen = access === 'open' || access === 'metrics';
  const asked = isOpen ? undefined : (query ?? z.object({})).extend({ tenant: TENANT });
  return {
    method,
    path,
    operationId: `${method}${path.replaceAll(/\W+/g, '_')}`.replace(/_$/, ''),
    summary,
    tags: [tag],
    description: ACCESS[access],
    security: access === 'open' ? [] : isOpen ? [{}, ...SECURITY] : SECURITY,
    request: {
      ...(asked === undefined ? {} : { query: asked }),
      ...(params === undefined ? {} : { params }),
      ...(method === 'post' ? { body: { content: json(body ?? z.object({})), required: body !== undefined } } : {}),
    },
    responses,
  };
}

const ACCESS: Readonly<Record<AnyRoute['access'], string>> = {
  open: 'Open to everybody.',
  metrics: 'Open to everybody, unless `ARQONBUS_METRICS_AUTH` is on: then for operators.',
  user: 'For users, within their grants; operators choose a tenant.',
  admin: 'For admins, about their own tenant; operators choose one.',
  operator: 'For operators: it is about the whole server.',
};

function json(schema: z.ZodType): { 'application/json': { schema: z.ZodType } } {
  return { 'application/json': { schema } };
}

/** An app with registered routes. */
type Described = Pick<OpenAPIHono, 'openAPIRegistry' | 'getOpenAPI31Document'>;

/** `GET /openapi.json`, generated from the served routes. */
export function documentRoute(app: () => Described, version: string): AnyRoute {
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

function makeDocument(app: Described, version: string): object {
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'apiKey', { type: 'apiKey', in: 'header', name: 'X-API-Key' });
  registry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' });
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'ArqonBus', version, description: 'A bus over HTTP: for its users, its admins and its operators.' },
  });
}
