import type { Scenario } from '../scenarios.ts';

/** One step of the setup: what to send, and a text that the answer must contain. */
export interface Exchange {
  readonly send?: string;
  readonly expect: string;
}

/**
 * The wire format of a peer's deliveries: one frame each, fixed-length records of a byte stream, or anything else,
 * where only the marks are used.
 */
export type Delivery =
  | { readonly kind: 'frame' }
  | { readonly kind: 'mark' }
  | {
      readonly kind: 'record';
      /** The record's first character, which distinguishes it from everything else in the stream. */
      readonly lead: string;
      /** The whole record for an envelope of a channel. */
      readonly around: (envelope: string, channel: string) => string;
    };

/** A peer's protocol, as used by the load generator. Envelope and texts are ASCII. */
export interface Dialect {
  readonly transport: 'websocket' | 'tcp' | 'sse';
  /** Request target of the WebSocket handshake, or of the SSE stream. */
  readonly path: string;
  /** Type of the client's WebSocket frames. */
  readonly frames: 'text' | 'binary';
  readonly opening: readonly Exchange[];
  subscribe(channel: string): readonly Exchange[];
  /** The text that publishes `envelope`, which names its channel, to that channel. */
  publish(envelope: string, channel: string): string;
  readonly delivery: Delivery;
  /** The answer to a text that is not a delivery, if any (keep-alives of the peer's protocol). */
  answer?(text: string): string | undefined;
  /** Text that indicates a refusal to a publisher, for refusals too short to be a message. */
  readonly refusal?: string;
}

/** How a subscriber of a peer gets the messages it missed. */
export interface Resume {
  /** The stream position in the answer to a subscription. Throws if there is none. */
  position(answer: string): string;
  /** The subscription of a client that has received everything up to `position`. */
  subscribe(channel: string, position: string): string;
}

/** How to start a peer's server process. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface LaunchContext {
  /** A free port of 127.0.0.1 to listen on. */
  readonly port: number;
  /** Another one, for peers with a separate HTTP port. */
  readonly httpPort: number;
  /** An empty directory for this run, removed afterwards. */
  readonly directory: string;
  /** Flags for Node servers, such as `--cpu-prof`. */
  readonly nodeFlags: readonly string[];
}

/** A server in the comparison. */
export interface Peer {
  readonly name: string;
  /** Its name in the tables, followed by its version and the note. */
  readonly title: string;
  readonly note?: string;
  readonly dialect: Dialect;
  /** Its version; undefined: that of this checkout. Only called if it can run. */
  version?(): string;
  /** The protocol of subscribers, if it differs from that of publishers; on its HTTP port if that is separate. */
  readonly subscriber?: { readonly dialect: Dialect; readonly port: 'bus' | 'http' };
  readonly resume?: Resume;
  /** Kinds of scenario that it does not support, with the reason as the end of the sentence "it …". */
  readonly lacks?: Readonly<Partial<Record<Scenario['kind'], string>>>;
  /** The only kinds of scenario it runs: another peer is the same server with other settings. */
  readonly only?: readonly Scenario['kind'][];
  /** Why it cannot run on this machine, as a sentence; undefined if it can. */
  unavailable(): string | undefined;
  launch(context: LaunchContext): Launch;
}
