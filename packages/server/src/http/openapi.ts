import type { RouteConfig } from '@hono/zod-openapi';
import { z } from 'zod';
import type { AnyRoute } from './route.ts';

/** The body of every error. */
export const ERROR_SCHEMA: z.ZodType = z
  .object({
    error: z.string().describe('One sentence a person can act on.'),
    error_code: z.string().describe('A code of the protocol’s catalogue.'),
    details: z.looseObject({ retryable: z.boolean() }).describe('Facts that a program can act on.'),
  })
  .describe('Every answer that is no success.');

const TENANT = z.string().optional().describe('For operators: the tenant that this is about.');

const SECURITY = [{ apiKey: [] }, { bearer: [] }];

/** A route as the OpenAPI document has it; `error` is the registered schema of errors. */
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
  admin: 'For admins, about their own tenant; operators choose one.',
  operator: 'For operators: it is about the whole server.',
};

/** `{name}` of OpenAPI is `:name` here. */
export function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

function json(schema: z.ZodType): { 'application/json': { schema: z.ZodType } } {
  return { 'application/json': { schema } };
}
