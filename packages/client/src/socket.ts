/** The parameters for opening a socket: the argument of {@link OpenSocket}. */
export interface SocketRequest {
  readonly url: string;
  /** Subprotocols to offer, best first. */
  readonly protocols: readonly string[];
  /** JWT; each platform's socket sends it in its own way. */
  readonly token: string | undefined;
  /** Extra headers of the handshake, if the platform can send them. */
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
  /** Close code; 1006 if the connection was lost without one or never opened. */
  readonly code: number;
  readonly reason: string;
  /** HTTP status, if the handshake was not answered with an upgrade. */
  readonly status?: number;
  /** `error_code` in the body of that response. */
  readonly errorCode?: string;
  /** `Retry-After` of that response, milliseconds. */
  readonly retryAfterMs?: number;
  /** The platform hides why a handshake failed, as browsers do. */
  readonly opaque?: boolean;
}

/** Called by a socket, never from within the call that created it. Nothing follows `ended`. See {@link OpenSocket}. */
export interface SocketEvents {
  /** A text frame. */
  message(text: string): void;
  /** Any sign of life, including control frames. */
  alive(): void;
  ended(end: SocketEnd): void;
}

/** The part of a WebSocket that a connection needs. See {@link OpenSocket}. */
export interface Socket {
  /** Bytes passed to `send` that are not sent yet. */
  readonly bufferedAmount: number;
  /** Bytes received so far, including partial frames; omitted if the platform does not report them. */
  readonly bytesReceived?: number;
  send(text: string): void;
  /** Starts the closing handshake. */
  close(code: number): void;
  /** Drops the connection; `ended` follows. */
  terminate(): void;
  /** Pauses or resumes reading; omitted if the platform does not support it. */
  pause?(paused: boolean): void;
}

/**
 * Opens a WebSocket: the option `socket`, for tests and for platforms with a different WebSocket.
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
