import { after, type Clock } from './clock.ts';
import type { Settings } from './options.ts';
import type { OpenSocket, Socket, SocketEnd, SocketEvents, SocketRequest } from './socket.ts';
import { eventStreamAt } from './socket-sse.ts';

/** Handshakes that have to fail before another way is tried; one is enough where it was needed before. */
const ATTEMPTS = 2;
/** The same where a WebSocket was open before: there it is the line that is down, unless the network has changed. */
const ATTEMPTS_AFTER_SUCCESS = 10;
/** The share of the time to connect that one handshake may take without an answer. */
const SHARE = 0.25;
/** Statuses that say nothing about upgrades. */
const BUSY_OR_UNKNOWN: ReadonlySet<number> = new Set([401, 429, 503]);
/** Faults of a line on which nothing else would get through either. */
const NO_LINE = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|CERT|certificate|self-signed|SSL/i;

interface FallbackParts {
  readonly webSocket: OpenSocket;
  readonly eventStream: OpenSocket;
  readonly clock: Clock;
  /** How long connecting may take in all, milliseconds. */
  readonly connectTimeoutMs: number;
}

/** How a client opens its line: with the platform's WebSocket, or with what takes its place. */
export function openerFor({ http, clock, connectTimeoutMs }: Settings, webSocket: OpenSocket): OpenSocket {
  if (http === false) return webSocket;
  return withFallback({ webSocket, eventStream: eventStreamAt(http), clock, connectTimeoutMs });
}

/**
 * Opens a WebSocket, and where none can be opened twice, an event stream instead: some proxies let no upgrade through.
 * What the bus itself refuses is refused either way, and is not tried again.
 */
function withFallback(parts: FallbackParts): OpenSocket {
  const known = new Map<string, Origin>();
  return (request, events) => {
    const { origin } = new URL(request.url);
    const place = known.get(origin) ?? { isBlocked: false, hasWorked: false, failures: 0 };
    known.set(origin, place);
    return new FallbackSocket(parts, place, request, events);
  };
}

/** What is known of one origin. */
interface Origin {
  /** Only the stream came through the last time. */
  isBlocked: boolean;
  /** A WebSocket was open there before. */
  hasWorked: boolean;
  /** Handshakes that failed since then. */
  failures: number;
}

class FallbackSocket implements Socket {
  readonly #parts: FallbackParts;
  readonly #place: Origin;
  readonly #request: SocketRequest;
  readonly #events: SocketEvents;
  #socket: Socket;
  #failures: number;
  /** What the WebSocket ended with, once the stream is tried. */
  #refusal: SocketEnd | undefined;
  #hasBegun = false;
  #isGivenUp = false;
  #isPaused = false;
  #cancel: () => void = () => {};

  constructor(parts: FallbackParts, place: Origin, request: SocketRequest, events: SocketEvents) {
    this.#parts = parts;
    this.#place = place;
    this.#request = request;
    this.#events = events;
    this.#failures = place.isBlocked ? ATTEMPTS - 1 : 0;
    this.#socket = this.#dial(parts.webSocket);
  }

  get bufferedAmount(): number {
    return this.#socket.bufferedAmount;
  }

  get bytesReceived(): number {
    return this.#socket.bytesReceived ?? 0;
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(code: number): void {
    this.#giveUp();
    this.#socket.close(code);
  }

  terminate(): void {
    this.#giveUp();
    this.#socket.terminate();
  }

  pause(paused: boolean): void {
    this.#isPaused = paused;
    this.#socket.pause?.(paused);
  }

  #giveUp(): void {
    this.#isGivenUp = true;
    this.#cancel();
  }

  #dial(open: OpenSocket): Socket {
    let isOver = false;
    const begun = (): void => {
      if (isOver || this.#hasBegun) return;
      this.#hasBegun = true;
      this.#cancel();
      const isStream = this.#refusal !== undefined;
      this.#place.isBlocked = isStream;
      this.#place.failures = 0;
      if (!isStream) this.#place.hasWorked = true;
    };
    const ended = (end: SocketEnd): void => {
      if (isOver) return;
      isOver = true;
      this.#cancel();
      this.#ended(end);
    };
    const socket = open(this.#request, {
      message: (text) => {
        begun();
        if (!isOver) this.#events.message(text);
      },
      alive: () => {
        begun();
        if (!isOver) this.#events.alive();
      },
      ended,
    });
    const { clock, connectTimeoutMs } = this.#parts;
    this.#cancel = after(clock, connectTimeoutMs * SHARE, () => {
      ended({ code: 1006, reason: 'the handshake was not answered' });
      socket.terminate();
    });
    return socket;
  }

  #ended(end: SocketEnd): void {
    if (this.#hasBegun || this.#isGivenUp) this.#events.ended(end);
    // What the bus says about the stream is said about this client; what a proxy says is not.
    else if (this.#refusal !== undefined) this.#events.ended(end.errorCode === undefined ? this.#refusal : end);
    else if (!mayBeBlocked(end)) this.#events.ended(end);
    else {
      this.#failures += 1;
      this.#place.failures += 1;
      const { hasWorked, isBlocked, failures } = this.#place;
      if (hasWorked && !isBlocked && failures < ATTEMPTS_AFTER_SUCCESS) {
        this.#events.ended(end);
        return;
      }
      if (this.#failures >= ATTEMPTS) this.#refusal = end;
      const { webSocket, eventStream } = this.#parts;
      this.#socket = this.#dial(this.#refusal === undefined ? webSocket : eventStream);
      if (this.#isPaused) this.#socket.pause?.(true);
    }
  }
}

/** Whether a proxy may have kept the upgrade from the bus, which would have named an error code. */
function mayBeBlocked({ code, reason, status, errorCode, opaque }: SocketEnd): boolean {
  if (opaque === true) return true;
  // A redirect is refused whatever it is for, and of a server that is busy a stream would ask too much as well.
  if (status !== undefined) return errorCode === undefined && status >= 400 && !BUSY_OR_UNKNOWN.has(status);
  return code === 1006 && !NO_LINE.test(reason);
}
