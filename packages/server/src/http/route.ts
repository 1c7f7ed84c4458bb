import type { IncomingMessage } from 'node:http';
import { type Awaitable, plainProblem } from '@arqonbus/bus';
import { BusError, type JsonObject } from '@arqonbus/protocol';
import { type ZodObject, type ZodType, z } from 'zod';
import type { Access, Caller } from './credentials.ts';
import type { Reply, Takeover } from './reply.ts';

/** The validated input of a route's `run`. */
interface RouteRequest<Q, P> {
  readonly caller: Caller;
  readonly query: Q;
  readonly params: P;
  /** The body of a POST or DELETE request; `{}` if it had none. */
  readonly body: JsonObject;
  /** For routes with {@link Route.takesList}: the objects of the body, one or more. */
  readonly list: readonly JsonObject[];
  readonly incoming: IncomingMessage;
  /** Aborted when the caller disconnects. */
  readonly signal: AbortSignal;
}

/**
 * One route: served by the app and described in the OpenAPI document. Query and path are validated against their
 * schemas; the body schema is documentation only, since the bus validates the body.
 */
export interface Route<Q = never, P = never> {
  readonly method: 'get' | 'post' | 'delete';
  /** In OpenAPI's form: `/v1/rooms/{room}/channels`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly access: Access;
  readonly query?: ZodType<Q> & ZodObject;
  readonly params?: ZodType<P> & ZodObject;
  readonly body?: ZodType;
  /** Whether its body may also be an array of objects. */
  readonly takesList?: boolean;
  /** Whether the query may contain a token, for clients that cannot send headers. */
  readonly takesQueryToken?: boolean;
  /** Status on success; default 200. */
  readonly status?: number;
  /** Schema of the response, or the media type if it is not JSON. */
  readonly answer: ZodType | string;
  /** Other statuses with the same kind of response, and their meaning. */
  readonly also?: Readonly<Record<number, string>>;
  run(request: RouteRequest<Q, P>): Awaitable<object | Reply | Takeover>;
}

/**
 * A route in a list of routes with different parameters. Calling `run` is sound because its own schemas validate the
 * input.
 */
export type AnyRoute = Route<unknown, unknown>;

/** Declares a route whose `run` is typed by its schemas. */
export function route<Q, P>(declared: Route<Q, P>): AnyRoute {
  return declared as unknown as AnyRoute;
}

/** Query or path values by name; a list if the schema takes several. */
export type Texts = Readonly<Record<string, string | readonly string[]>>;

/** The query parameters of a route that may be repeated. */
export function listsOf({ query }: Pick<AnyRoute, 'query'>): ReadonlySet<string> {
  const shape = Object.entries((query?.shape ?? {}) as Readonly<Record<string, ZodType>>);
  return new Set(shape.filter(([, type]) => isList(type)).map(([name]) => name));
}

function isList(type: ZodType): boolean {
  return type instanceof z.ZodArray || (type instanceof z.ZodOptional && type.unwrap() instanceof z.ZodArray);
}

/** Validates query or path values; the refusal names the first invalid one. */
export function readTexts(schema: ZodObject | undefined, texts: Texts): unknown {
  const checked = (schema ?? NONE).safeParse(texts, { error: plainProblem });
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0]?.slice(0, 140) : undefined;
  const field = unknown ?? issue?.path.join('.') ?? '';
  const rule = unknown === undefined ? issue?.message : 'there is no such parameter here';
  throw new BusError('VALIDATION_ERROR', `Parameter "${field}": ${rule}.`, { field });
}

const NONE: ZodObject = z.strictObject({});
