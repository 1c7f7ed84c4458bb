/** What a receiver tells about the bytes of one connection. Called on the hot path: nothing here may allocate per call. */
export interface Arrivals {
  /** `inspect` is called for about every how many-th message; `Infinity` for none. */
  readonly every: number;
  /** The `ordinal`-th message of this connection (from 1) lies whole at `bytes[start, end)`, valid during the call. */
  inspect(ordinal: number, bytes: Buffer, start: number, end: number): void;
  /** With this chunk the messages after the `from`-th up to the `to`-th have arrived. */
  arrived(from: number, to: number): void;
  /** Something that is no message: a keep-alive or a reply in the peer's own protocol. */
  aside(text: string): void;
}

/** Takes in the bytes of one connection, in chunks cut anywhere, and never keeps a reference to them. */
export interface Receiver {
  receive(bytes: Buffer, start: number, end: number): void;
}

/** What WebSocket control frames ask of the connection. */
export interface ControlFrames {
  ping(payload: Buffer): void;
  closed(code: number | undefined, reason: string): void;
}
