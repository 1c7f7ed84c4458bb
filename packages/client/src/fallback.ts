import { after, type Clock } from './clock.ts';
import type { Settings } from './options.ts';
import type { OpenSocket, Socket, SocketEnd, SocketEvents, SocketRequest } from './socket.ts';
import { eventStreamAt } from './socket-sse.ts';

/** Failed handshakes before the fallback is tried; one less for an origin that needed it before. */
const ATTEMPTS = 2;
/**
 * The same for an origin where a WebSocket has worked: there, the network is more likely down, unless it has changed.
 */
const ATTEMPTS_AFTER_SUCCESS = 10;
/** Fraction of the connection timeout that one handshake may take. */
const SHARE = 0.25;
/** Statuses that do not depend on the upgrade. */
const BUSY_OR_UNKNOWN: ReadonlySet<number> = new Set([401, 429, 503]);
/** Network errors that would affect the fallback as well. */
const NO_LINE = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|CERT|certificate|self-signed|SSL/i;

interface FallbackParts {
  readonly webSocket: OpenSocket;
  readonly eventStream: OpenSocket;
  readonly clock: Clock;
  /** Total connection timeout, milliseconds. */
  readonly connectTimeoutMs: number;
}

/** The way a client opens connections: the platform's WebSocket, with the fallback if enabled. */
export function openerFor({ http, clock, connectTimeoutMs }: Settings, webSocket: OpenSocket): OpenSocket {
  if (http === false) return webSocket;
  return withFallback({ webSocket, eventStream: eventStreamAt(http), clock, connectTimeoutMs });
}

/**
 * Opens a WebSocket, or an event stream if two attempts fail, because some proxies block upgrades. A refusal by the bus
 * itself would be the same either way, and is not retried.
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

/** The state of one origin. */
interface Origin {
  /** Only the stream worked the last time. */
  isBlocked: boolean;
  /** A WebSocket has worked before. */
  hasWorked: boolean;
  /** Failed handshakes since then. */
  failures: number;
}

class FallbackSocket implements Socket {
  readonly #parts: FallbackParts;
  readonly #place: Origin;
  readonly #request: SocketRequest;
  readonly #events: SocketEvents;
  #socket: Socket;
  #failures: number;
  /** How the WebSocket ended, once the stream is tried. */
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
    // A refusal of the stream by the bus applies to this client; one by a proxy does not.
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

/** Whether a proxy may have blocked the upgrade; the bus would have sent an error code. */
function mayBeBlocked({ code, reason, status, errorCode, opaque }: SocketEnd): boolean {
  if (opaque === true) return true;
  // Redirects are refused in any case, and a busy server would refuse a stream too.
  if (status !== undefined) return errorCode === undefined && status >= 400 && !BUSY_OR_UNKNOWN.has(status);
  return code === 1006 && !NO_LINE.test(reason);
}
