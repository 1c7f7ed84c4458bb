/** Called by a receiver about the bytes of one connection. On the hot path: must not allocate per call. */
export interface Arrivals {
  /** `inspect` is called for about every n-th message; `Infinity`: never. */
  readonly every: number;
  /**
   * The `ordinal`-th message of this connection (from 1) is entirely at `bytes[start, end)`, which is valid during the
   * call.
   */
  inspect(ordinal: number, bytes: Buffer, start: number, end: number): void;
  /** The messages after the `from`-th up to the `to`-th have arrived with this chunk. */
  arrived(from: number, to: number): void;
  /** Something other than a message: a keep-alive or a reply of the peer's protocol. */
  aside(text: string): void;
}

/** Receives the bytes of one connection, in arbitrary chunks, and keeps no reference to them. */
export interface Receiver {
  receive(bytes: Buffer, start: number, end: number): void;
}

/** WebSocket control frames that concern the connection. */
export interface ControlFrames {
  ping(payload: Buffer): void;
  closed(code: number | undefined, reason: string): void;
}
