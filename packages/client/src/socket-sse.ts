import { CLOSE } from '@arqonbus/protocol';
import type { OpenSocket, Socket, SocketEnd, SocketEvents, SocketRequest } from './socket.ts';

/** Maximum envelopes of one post, and its maximum bytes until the welcome reports the server's limit. */
const MAX_ENVELOPES = 500;
const FIRST_POST_BYTES = 65_536;
/** Maximum length of an event, in characters. */
const MAX_EVENT = 64 * 1_048_576;
/** Default delay after a temporary refusal, and the maximum; milliseconds. */
const RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;
/** The HTTP status that corresponds to close code 1009. */
const TOO_LARGE = 413;
/** Query parameters that the stream takes over from the WebSocket URL. */
const KNOWN = ['client_type', 'screen_name', 'avatar', 'personality', 'client_key', 'subject', 'tenant'];

/**
 * A session without a WebSocket: server-sent events for incoming frames, posts for outgoing ones (docs/http.md). For
 * networks that block WebSockets, and for pages served from the bus's HTTP port. Extra headers also work in browsers.
 *
 * ```ts
 * new ArqonBusClient({ url: location.href, socket: eventStreamAt(location.href), headers: { 'X-API-Key': key } });
 * ```
 *
 * @param base where the bus answers HTTP; the origin of the WebSocket's address unless given
 */
export function eventStreamAt(base?: string): OpenSocket {
  return (request, events) => new EventStreamSocket(request, events, base);
}

class EventStreamSocket implements Socket {
  bufferedAmount = 0;
  bytesReceived = 0;
  readonly #request: SocketRequest;
  readonly #events: SocketEvents;
  readonly #base: URL;
  readonly #abort = new AbortController();
  #token: string | undefined;
  /** A token that replaces the current one once it was posted. */
  #nextToken: string | undefined;
  #session: string | undefined;
  #maxPostBytes = FIRST_POST_BYTES;
  #queue: { readonly text: string; readonly bytes: number }[] = [];
  #isPosting = false;
  #over = false;
  #isClosing = false;
  #goOn: (() => void) | undefined;
  #paused: Promise<void> | undefined;

  constructor(request: SocketRequest, events: SocketEvents, base: string | undefined) {
    const { url, token } = request;
    this.#request = request;
    this.#events = events;
    this.#token = token;
    this.#base = new URL(base ?? new URL(url).origin.replace(/^ws/, 'http'));
    void this.#read();
  }

  send(text: string): void {
    if (this.#over) return;
    const bytes = new TextEncoder().encode(text).length;
    this.#queue.push({ text, bytes });
    this.bufferedAmount += bytes;
    void this.#post();
  }

  close(code: number): void {
    this.#isClosing = true;
    if (this.#queue.length === 0 && !this.#isPosting) void this.#leave(code);
  }

  terminate(): void {
    queueMicrotask(() => this.#end({ code: 1006, reason: '' }));
  }

  pause(paused: boolean): void {
    if (!paused) this.#goOn?.();
    else if (this.#paused === undefined) {
      this.#paused = new Promise((resolve) => {
        this.#goOn = () => {
          this.#paused = undefined;
          this.#goOn = undefined;
          resolve();
        };
      });
    }
  }

  // What comes --------------------------------------------------------------------------------------------------------

  async #read(): Promise<void> {
    try {
      const response = await this.#ask('GET', `/v1/stream?${this.#query()}`, { Accept: 'text/event-stream' });
      const { body } = response;
      if (!response.ok || body === null || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
        this.#end(await refusalOf(response));
        return;
      }
      const reader = body.getReader();
      const decoder = new TextDecoder();
      let rest = '';
      for (;;) {
        await this.#paused;
        const { done, value } = await reader.read();
        if (done) break;
        this.bytesReceived += value.length;
        this.#events.alive();
        rest += decoder.decode(value, { stream: true });
        if (rest.length > MAX_EVENT) throw new RangeError('an event without end');
        const blocks = rest.split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.#take(block);
        if (this.#over) return;
      }
      this.#end({ code: 1006, reason: 'the stream ended' });
    } catch (error) {
      this.#end({ code: 1006, reason: error instanceof Error ? error.message : String(error) });
    }
  }

  #query(): URLSearchParams {
    const { searchParams } = new URL(this.#request.url);
    const query = new URLSearchParams([...searchParams].filter(([name]) => KNOWN.includes(name)));
    const [room, channel] = [searchParams.get('room'), searchParams.get('channel')];
    if (room !== null) query.set('join', channel === null ? room : `${room}:${channel}`);
    return query;
  }

  #take(block: string): void {
    if (this.#over) return;
    let event = '';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('data: ')) data = line.slice(6);
      else if (line.startsWith('event: ')) event = line.slice(7);
    }
    if (event === 'close') this.#end(readEnd(data));
    else if (data !== '') {
      if (this.#session === undefined) this.#greet(data);
      this.#events.message(data);
    }
  }

  /** The welcome contains the session to post to. */
  #greet(text: string): void {
    const { session, limits } = readFields(readFields(parse(text)).payload);
    if (typeof session !== 'string') return;
    this.#session = session;
    const { max_message_bytes: most } = readFields(limits);
    if (typeof most === 'number') this.#maxPostBytes = most;
    void this.#post();
  }

  // What is sent ------------------------------------------------------------------------------------------------------

  /** Posts the queue, one post at a time, to keep the order. */
  async #post(): Promise<void> {
    if (this.#isPosting || this.#session === undefined) return;
    this.#isPosting = true;
    try {
      while (this.#queue.length > 0 && !this.#over) await this.#postSome(this.#session);
    } catch (error) {
      // Whether it was accepted is unknown; what requested an ack is sent again on the next connection.
      this.#end({ code: 1006, reason: error instanceof Error ? error.message : String(error) });
    }
    this.#isPosting = false;
    if (this.#isClosing) await this.#leave(1000);
  }

  /** Tells the server that the session has ended deliberately; the stream ends because of that, or here. */
  async #leave(code: number): Promise<void> {
    if (this.#session !== undefined && !this.#over) {
      const path = `/v1/sessions/${encodeURIComponent(this.#session)}`;
      await this.#ask('DELETE', path, {}).catch(() => {});
    }
    queueMicrotask(() => this.#end({ code, reason: '' }));
  }

  async #postSome(session: string): Promise<void> {
    const { count, bytes, body } = this.#next();
    const path = `/v1/sessions/${encodeURIComponent(session)}`;
    const response = await this.#ask('POST', path, { 'Content-Type': 'application/json' }, body);
    if (response.status === 429) {
      await wait(await retryAfter(response));
      return;
    }
    if (response.status !== 202) {
      const end = await refusalOf(response);
      this.#end(response.status === TOO_LARGE ? { code: CLOSE.MESSAGE_TOO_BIG, reason: end.reason } : end);
      return;
    }
    await response.body?.cancel();
    this.#queue.splice(0, count);
    this.bufferedAmount -= bytes;
    this.#token = this.#nextToken ?? this.#token;
    this.#nextToken = undefined;
  }

  /** As much of the queue as fits into one post; a token renewal is the last envelope sent with the old token. */
  #next(): { count: number; bytes: number; body: string } {
    const texts: string[] = [];
    let bytes = 0;
    for (const one of this.#queue) {
      if (
        texts.length > 0 &&
        (texts.length === MAX_ENVELOPES || bytes + one.bytes + texts.length + 3 > this.#maxPostBytes)
      )
        break;
      texts.push(one.text);
      bytes += one.bytes;
      this.#nextToken = renewalIn(one.text);
      if (this.#nextToken !== undefined) break;
    }
    const [first = ''] = texts;
    return { count: texts.length, bytes, body: texts.length === 1 ? first : `[${texts.join(',')}]` };
  }

  #ask(method: string, path: string, headers: Readonly<Record<string, string>>, body?: string): Promise<Response> {
    const token = this.#token;
    return fetch(new URL(path.slice(1), this.#base.href.replace(/\/?$/, '/')), {
      method,
      // Sent even if the page is being closed.
      keepalive: method === 'DELETE',
      headers: {
        ...this.#request.headers,
        ...headers,
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      },
      // A redirect must not carry the token to another server.
      redirect: 'error',
      cache: 'no-store',
      credentials: 'omit',
      signal: this.#abort.signal,
      ...(body === undefined ? {} : { body }),
    });
  }

  #end(end: SocketEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#queue = [];
    this.bufferedAmount = 0;
    this.#goOn?.();
    this.#abort.abort();
    this.#events.ended(end);
  }
}

function readEnd(text: string): SocketEnd {
  const { code, reason } = readFields(parse(text));
  return {
    code: typeof code === 'number' ? code : CLOSE.GOING_AWAY,
    reason: typeof reason === 'string' ? reason : '',
  };
}

/** Describes a response that is not a stream. */
async function refusalOf(response: Response): Promise<SocketEnd> {
  const seconds = Number(response.headers.get('retry-after'));
  const { error, error_code: errorCode } = readFields(parse(await response.text().catch(() => '')));
  return {
    code: 1006,
    reason: typeof error === 'string' ? error : '',
    status: response.status,
    ...(typeof errorCode === 'string' ? { errorCode } : {}),
    ...(seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
  };
}

async function retryAfter(response: Response): Promise<number> {
  const { details } = readFields(parse(await response.text()));
  const { retry_after_ms: ms } = readFields(details);
  return typeof ms === 'number' && ms > 0 ? Math.min(ms, MAX_RETRY_MS) : RETRY_MS;
}

/** The token of a `refresh_token` command, used for posts after its answer. */
function renewalIn(text: string): string | undefined {
  if (!text.includes('"refresh_token"')) return undefined;
  const { command, args } = readFields(parse(text));
  const { token } = readFields(args);
  return command === 'refresh_token' && typeof token === 'string' ? token : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readFields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
