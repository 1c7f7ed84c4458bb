import type { IncomingMessage } from 'node:http';
import { type Awaitable, plainProblem } from '@arqonbus/bus';
import { BusError, type JsonObject } from '@arqonbus/protocol';
import { type ZodObject, type ZodType, z } from 'zod';
import type { Access, Caller } from './credentials.ts';
import type { Reply, Takeover } from './reply.ts';

/** What a route's `run` is given: everything in it is checked. */
interface RouteRequest<Q, P> {
  readonly caller: Caller;
  readonly query: Q;
  readonly params: P;
  /** Of a request that changes something; `{}` when it had none. */
  readonly body: JsonObject;
  /** Of a route that {@link Route.takesList}: the objects of the body, one or many. */
  readonly list: readonly JsonObject[];
  readonly incoming: IncomingMessage;
  /** Aborted when whoever asked has gone. */
  readonly signal: AbortSignal;
}

/**
 * One route: the app serves it and the OpenAPI document describes it. Query and path are checked against their
 * schemas; the schema of the body is for the document alone, since the bus itself judges what is sent to it.
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
  /** Whether its body may be an array of objects too. */
  readonly takesList?: boolean;
  /** Whether a token may stand in the query, for readers that can send no header. */
  readonly takesQueryToken?: boolean;
  /** Of success; 200 unless it says otherwise. */
  readonly status?: number;
  /** Schema of the answer, or the media type of one that is no JSON. */
  readonly answer: ZodType | string;
  /** Further statuses with the same kind of answer, and what they mean. */
  readonly also?: Readonly<Record<number, string>>;
  run(request: RouteRequest<Q, P>): Awaitable<object | Reply | Takeover>;
}

/** A route among others of different parameters. Its own schemas are what makes calling `run` sound. */
export type AnyRoute = Route<unknown, unknown>;

/** Declares a route whose `run` is checked against its own schemas. */
export function route<Q, P>(declared: Route<Q, P>): AnyRoute {
  return declared as unknown as AnyRoute;
}

/** Values of a query or path by their names; a list where the schema takes several. */
export type Texts = Readonly<Record<string, string | readonly string[]>>;

/** The parameters of a route's query that may be given more than once. */
export function listsOf({ query }: Pick<AnyRoute, 'query'>): ReadonlySet<string> {
  const shape = Object.entries((query?.shape ?? {}) as Readonly<Record<string, ZodType>>);
  return new Set(shape.filter(([, type]) => isList(type)).map(([name]) => name));
}

function isList(type: ZodType): boolean {
  return type instanceof z.ZodArray || (type instanceof z.ZodOptional && type.unwrap() instanceof z.ZodArray);
}

/** Checks texts of a query or path; the refusal names the first that is at fault. */
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
