import type { Scenario } from '../scenarios.ts';

/** One step of a conversation before the measurement: what is sent, and a text that the answer must contain. */
export interface Exchange {
  readonly send?: string;
  readonly expect: string;
}

/**
 * How a peer's deliveries look on the wire: one frame each, fixed-length records of a byte stream, or anything else, of which
 * only the marks are looked at.
 */
export type Delivery =
  | { readonly kind: 'frame' }
  | { readonly kind: 'mark' }
  | {
      readonly kind: 'record';
      /** The record's first character, by which it differs from everything else in the stream. */
      readonly lead: string;
      /** The whole record around an envelope of a channel. */
      readonly around: (envelope: string, channel: string) => string;
    };

/** A peer's protocol as the load generator speaks it. Envelope and texts are ASCII. */
export interface Dialect {
  readonly transport: 'websocket' | 'tcp' | 'sse';
  /** Request target of the WebSocket handshake, or of the stream of server-sent events. */
  readonly path: string;
  /** Frame type of what the client sends over a WebSocket. */
  readonly frames: 'text' | 'binary';
  readonly opening: readonly Exchange[];
  subscribe(channel: string): readonly Exchange[];
  /** The text of a publication of `envelope`, which names its channel, to that channel. */
  publish(envelope: string, channel: string): string;
  readonly delivery: Delivery;
  /** What to send back to a text that is no delivery, if anything (keep-alives inside the peer's protocol). */
  answer?(text: string): string | undefined;
  /** What a text holds that tells a publisher of a refusal, where that is no message by its length. */
  readonly refusal?: string;
}

/** How a peer gives a subscriber what it missed. */
export interface Resume {
  /** The place in the stream, out of the answer to a subscription. Throws when the answer has none. */
  position(answer: string): string;
  /** What a subscriber sends who was there up to `position`. */
  subscribe(channel: string, position: string): string;
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
  /** Another, for peers that serve HTTP beside it. */
  readonly httpPort: number;
  /** An empty directory of this run's own, removed afterwards. */
  readonly directory: string;
  /** Flags for Node servers, such as `--cpu-prof`. */
  readonly nodeFlags: readonly string[];
}

/** One server under comparison. */
export interface Peer {
  readonly name: string;
  /** Its name in the tables, where its version and the note follow. */
  readonly title: string;
  readonly note?: string;
  readonly dialect: Dialect;
  /** Which version of it this is; undefined: the one of this checkout. Asked only where it can run. */
  version?(): string;
  /** How subscribers speak to it where they do otherwise than publishers; over its HTTP port if that is another. */
  readonly subscriber?: { readonly dialect: Dialect; readonly port: 'bus' | 'http' };
  readonly resume?: Resume;
  /** Kinds of scenario in which it takes no part, each with the reason, as the end of the sentence "it …". */
  readonly lacks?: Readonly<Partial<Record<Scenario['kind'], string>>>;
  /** The only kinds of scenario in which it takes part: another peer is the same server, set otherwise. */
  readonly only?: readonly Scenario['kind'][];
  /** Why it cannot run on this machine, as a sentence; undefined when it can. */
  unavailable(): string | undefined;
  launch(context: LaunchContext): Launch;
}
