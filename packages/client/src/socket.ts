/** What a socket is opened with: the argument of {@link OpenSocket}. */
export interface SocketRequest {
  readonly url: string;
  /** Subprotocols to offer, best first. */
  readonly protocols: readonly string[];
  /** JWT; each platform's socket sends it the way it can. */
  readonly token: string | undefined;
  /** Extra headers of the handshake, where the platform can send any. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * How a socket ended, opened or not.
 *
 * ```ts
 * events.ended({ code: 1006, reason: 'Service Unavailable', status: 503, retryAfterMs: 2_000 });
 * ```
 */
export interface SocketEnd {
  /** Close code; 1006 when the line broke without one or was never made. */
  readonly code: number;
  readonly reason: string;
  /** HTTP status, when the handshake was answered with something else than an upgrade. */
  readonly status?: number;
  /** `error_code` of that answer's body. */
  readonly errorCode?: string;
  /** `Retry-After` of that answer, milliseconds. */
  readonly retryAfterMs?: number;
  /** The platform hides why a handshake failed, as browsers do. */
  readonly opaque?: boolean;
}

/** Told by a socket, never from within the call that made it. Nothing follows `ended`. See {@link OpenSocket}. */
export interface SocketEvents {
  /** A text frame. */
  message(text: string): void;
  /** Any sign of life, frames of control too. */
  alive(): void;
  ended(end: SocketEnd): void;
}

/** The little that a connection needs of a WebSocket. See {@link OpenSocket}. */
export interface Socket {
  /** Bytes handed to `send` that have not left yet. */
  readonly bufferedAmount: number;
  /** Bytes received so far, parts of frames included; left out where the platform does not tell. */
  readonly bytesReceived?: number;
  send(text: string): void;
  /** Starts the closing handshake. */
  close(code: number): void;
  /** Drops the line; `ended` follows. */
  terminate(): void;
  /** Stops or goes on reading; left out where the platform cannot. */
  pause?(paused: boolean): void;
}

/**
 * Opens a WebSocket: the option `socket`, for tests and for platforms with a WebSocket of another kind.
 *
 * ```ts
 * const openSocket: OpenSocket = ({ url, protocols }, events) => {
 *   const socket = new PlatformSocket(url, [...protocols]);
 *   socket.onmessage = ({ data }) => events.message(data);
 *   socket.onclose = ({ code, reason }) => events.ended({ code, reason });
 *   return socket;
 * };
 * ```
 */
export type OpenSocket = (request: SocketRequest, events: SocketEvents) => Socket;
