import { BASE } from './base.ts';
import { credentials, headersOf } from './credentials.ts';

/** A refusal of the HTTP API, with its message, code and status. */
class Refusal extends Error {
  readonly code: string;
  readonly status: number;

  constructor(message: string, code: string, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Calls the HTTP API with the page's credentials. Throws a {@link Refusal}, or an error of `fetch`. */
export async function ask<T>(path: string, body?: object, signal?: AbortSignal): Promise<T> {
  const response = await send(path, body, signal);
  return (await response.json()) as T;
}

/** The same for a text response. */
export async function askText(path: string, signal?: AbortSignal): Promise<string> {
  return (await send(path, undefined, signal)).text();
}

async function send(path: string, body: object | undefined, signal: AbortSignal | undefined): Promise<Response> {
  const response = await fetch(new URL(path, BASE), {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...headersOf(credentials.value),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    ...(signal === undefined ? {} : { signal }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (response.ok) return response;
  const told = (await response.json().catch(() => ({}))) as { error?: unknown; error_code?: unknown };
  throw new Refusal(
    typeof told.error === 'string' ? told.error : `The server answered ${response.status}.`,
    typeof told.error_code === 'string' ? told.error_code : '',
    response.status,
  );
}
