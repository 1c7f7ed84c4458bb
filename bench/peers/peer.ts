/** One step of a conversation before the measurement: what is sent, and a text that the answer must contain. */
export interface Exchange {
  readonly send?: string;
  readonly expect: string;
}

/** How a peer's deliveries look on the wire: one frame each, or fixed-length records of a byte stream. */
export type Delivery =
  | { readonly kind: 'frame' }
  | {
      readonly kind: 'record';
      /** The record's first character, by which it differs from everything else in the stream. */
      readonly lead: string;
      /** The whole record around an envelope. */
      readonly around: (envelope: string) => string;
    };

/** A peer's protocol as the load generator speaks it. Envelope and texts are ASCII. */
export interface Dialect {
  readonly transport: 'websocket' | 'tcp';
  /** Request target of the WebSocket handshake. */
  readonly path: string;
  /** Frame type of what the client sends over a WebSocket. */
  readonly frames: 'text' | 'binary';
  readonly opening: readonly Exchange[];
  readonly subscribe: readonly Exchange[];
  /** The text of a publication of `envelope` to the benchmark's channel. */
  publish(envelope: string): string;
  readonly delivery: Delivery;
  /** What to send back to a text that is no delivery, if anything (keep-alives inside the peer's protocol). */
  answer?(text: string): string | undefined;
}

/** How a peer's server process is started. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface LaunchContext {
  /** A free port of 127.0.0.1 to listen on. */
  readonly port: number;
  /** An empty directory of this run's own, removed afterwards. */
  readonly directory: string;
  /** Flags for Node servers, such as `--cpu-prof`. */
  readonly nodeFlags: readonly string[];
}

/** One server under comparison. */
export interface Peer {
  readonly name: string;
  /** Its name in the tables. */
  readonly title: string;
  readonly dialect: Dialect;
  /** Why it cannot run on this machine, as a sentence; undefined when it can. */
  unavailable(): string | undefined;
  launch(context: LaunchContext): Launch;
}
