/** What a socket is opened with. */
export interface SocketRequest {
  readonly url: string;
  /** Subprotocols to offer, best first. */
  readonly protocols: readonly string[];
  /** JWT; each platform's socket sends it the way it can. */
  readonly token: string | undefined;
  /** Extra headers of the handshake, where the platform can send any. */
  readonly headers: Readonly<Record<string, string>>;
}

/** How a socket ended, opened or not. */
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

/** Told by a socket, never from within the call that made it. Nothing follows `ended`. */
export interface SocketEvents {
  /** A text frame. */
  message(text: string): void;
  /** Any sign of life, frames of control too. */
  alive(): void;
  ended(end: SocketEnd): void;
}

/** The little that a connection needs of a WebSocket. */
export interface Socket {
  /** Bytes handed to `send` that have not left yet. */
  readonly bufferedAmount: number;
  send(text: string): void;
  /** Starts the closing handshake. */
  close(code: number): void;
  /** Drops the line; `ended` follows. */
  terminate(): void;
}

export type OpenSocket = (request: SocketRequest, events: SocketEvents) => Socket;
