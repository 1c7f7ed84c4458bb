import type { Agent } from 'undici';
import type { Clock } from '../clock.ts';
import { signatureHeaders } from '../outbound/signature.ts';
import { type HookAnswer, HookFailure, readAnswer } from './answer.ts';

/** A request to a backend. */
export interface HookRequest {
  readonly url: URL;
  /** Null: not signed. */
  readonly key: Buffer | null;
  readonly id: string;
  readonly body: string;
  /** From the first byte sent to the last byte read, including connecting. */
  readonly timeoutMs: number;
  readonly maxAnswerBytes: number;
}

const SENTENCES: Readonly<Record<string, string>> = {
  FORBIDDEN_ADDRESS: 'the host does not resolve to public addresses only',
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'host name not found',
  ENODATA: 'host name not found',
};

/** Posts a request once. Rejects with {@link HookFailure} for anything but a valid JSON answer with status 200. */
export async function askOnce(
  agent: Agent,
  clock: Clock,
  userAgent: string,
  request: HookRequest,
  stop: AbortSignal,
): Promise<HookAnswer> {
  const cancel = new AbortController();
  // A request that is still waiting for a connection does not notice the signal.
  const cancelled = new Promise<never>((_resolve, reject) => {
    cancel.signal.addEventListener('abort', () => reject(cancel.signal.reason), { once: true });
  });
  const abandon = (): void => cancel.abort(new HookFailure('the bus stops'));
  stop.addEventListener('abort', abandon, { once: true });
  const callOff = clock.after(request.timeoutMs, () =>
    cancel.abort(new HookFailure(`no answer within ${request.timeoutMs} ms`)),
  );
  try {
    return await Promise.race([exchange(agent, clock, userAgent, request, cancel.signal), cancelled]);
  } catch (error) {
    if (error instanceof HookFailure) throw error;
    const { code } = error as { code?: unknown };
    // Messages of network errors contain addresses, which may be internal.
    throw new HookFailure(
      SENTENCES[String(code)] ?? `the request failed (${typeof code === 'string' ? code : 'UNKNOWN'})`,
    );
  } finally {
    callOff();
    stop.removeEventListener('abort', abandon);
    cancel.abort(new HookFailure('over'));
  }
}

async function exchange(
  agent: Agent,
  clock: Clock,
  userAgent: string,
  { url, key, id, body, maxAnswerBytes }: HookRequest,
  signal: AbortSignal,
): Promise<HookAnswer> {
  const headers = { 'user-agent': userAgent, 'content-type': 'application/json', accept: 'application/json' };
  const signature = key === null ? {} : signatureHeaders(key, id, clock.now(), body);
  const answer = await agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'POST',
    headers: { ...headers, ...signature },
    body,
    signal,
    // The timeout above covers the whole exchange.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  if (answer.statusCode !== 200) {
    answer.body.on('error', () => {}).destroy();
    const { statusCode: status } = answer;
    const isRedirect = status >= 300 && status < 400;
    throw new HookFailure(isRedirect ? `HTTP ${status}: redirects are not followed` : `HTTP ${status}`);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the body, and with it the connection.
    if (size > maxAnswerBytes) throw new HookFailure(`the answer is larger than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return readAnswer(Buffer.concat(chunks).toString());
}
