import { CLOSE, type Envelope, PROTOCOL_VERSION, SUBPROTOCOL, type Welcome } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { ArqonBusError } from './errors.ts';
import type { OpenSocket, Socket, SocketEnd, SocketRequest } from './socket.ts';

/** Unsent bytes above which a sender should wait, and the polling interval of the socket meanwhile. */
const HIGH_WATER_BYTES = 1_048_576;
const DRAIN_POLL_MS = 10;
/** Any command would do; only the fact that an answer arrives matters. */
const PROBE = `{"version":"${PROTOCOL_VERSION}","id":"arq_probe","type":"command","command":"ping","args":{}}`;
/** Time limit for the peer to answer a closing handshake, milliseconds. */
const CLOSE_TIMEOUT_MS = 2_000;
/** Extra time after a missed ping of the server, and time limit for the answer to a probe; milliseconds. */
const GRACE_MS = 5_000;
const PROBE_MS = 10_000;
/** Minimum bytes after the last message that indicate a partial message; fewer may be pings. */
const PARTIAL_BYTES = 1_024;

/**
 * A received frame, with its envelope; see the client's event `frame`.
 *
 * ```ts
 * client.on('frame', ({ text }) => appendFile('frames.jsonl', `${text}\n`));
 * ```
 */
export interface Frame {
  /** The JSON text, unchanged. */
  readonly text: string;
  readonly envelope: Envelope;
}

export interface ConnectionEvents {
  /** Every envelope, before it is processed. Reading is paused until the returned promises settle. */
  frame(frame: Frame): readonly Promise<unknown>[];
  /** The server's first frame; the connection can be used from now on. */
  welcome(welcome: Welcome): void;
  envelope(envelope: Envelope): void;
  /** A frame that is not an envelope, and was skipped. */
  invalid(error: ArqonBusError): void;
  /** Called once for every connection, even one without a welcome. Never called from within the constructor. */
  ended(end: SocketEnd): void;
}

/** One WebSocket from handshake to close: converts frames to envelopes and monitors the connection. */
export class Connection {
  /** Largest frame that the server accepts, UTF-8 bytes; known after the welcome. */
  maxMessageBytes: number = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #events: ConnectionEvents;
  #socket: Socket | undefined;
  #heartbeat: Heartbeat | undefined;
  #cancel: () => void;
  #over = false;
  #welcomed = false;
  /** Bytes received up to the last complete message. */
  #wholeBytes = 0;
  /** Bytes received when {@link Connection.isReceiving} was last true. */
  #toldBytes = 0;
  /** Frames whose listeners have not finished. */
  #held = 0;

  /** @param timeoutMs from the call to the server's welcome */
  constructor(
    open: OpenSocket,
    request: Omit<SocketRequest, 'protocols'>,
    clock: Clock,
    timeoutMs: number,
    events: ConnectionEvents,
  ) {
    this.#clock = clock;
    this.#events = events;
    this.#cancel = after(clock, timeoutMs, () => this.#drop(1006, `no welcome within ${timeoutMs} ms`));
    try {
      this.#socket = open(
        { ...request, protocols: [SUBPROTOCOL] },
        {
          message: (text) => this.#take(text),
          alive: () => this.#heartbeat?.alive(),
          ended: (end) => this.#end(end),
        },
      );
    } catch (error) {
      // The platform refuses to send a header or subprotocol, most likely because of a malformed token.
      const reason = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => this.#end({ code: CLOSE.POLICY_VIOLATION, reason }));
    }
  }

  send(text: string): void {
    if (!this.#over) this.#socket?.send(text);
  }

  /** Resolves when the socket has room again; undefined if it has room now. A closed connection has room. */
  drained(): Promise<void> | undefined {
    if (!this.#isFull()) return undefined;
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#isFull()) this.#clock.setTimeout(look, DRAIN_POLL_MS);
        else resolve();
      };
      look();
    });
  }

  /** Whether a large message is arriving, with new bytes since the last call. */
  isReceiving(): boolean {
    const received = this.#received();
    const isReceiving = received > Math.max(this.#toldBytes, this.#wholeBytes + PARTIAL_BYTES);
    this.#toldBytes = received;
    return isReceiving;
  }

  /** Checks immediately whether the connection is alive. */
  suspect(): void {
    this.#heartbeat?.suspect();
  }

  /** Starts the closing handshake; `ended` follows, at the latest after its timeout. */
  close(): void {
    if (this.#over) return;
    if (!this.#welcomed) {
      this.#drop(1006, 'closed');
      return;
    }
    this.#cancel();
    this.#cancel = after(this.#clock, CLOSE_TIMEOUT_MS, () => this.#drop(1006, 'closing handshake timed out'));
    // A paused socket would not read the peer's answer.
    this.#socket?.pause?.(false);
    this.#socket?.close(1000);
  }

  #take(text: string): void {
    if (this.#over) return;
    this.#wholeBytes = this.#received();
    try {
      const envelope = JSON.parse(text) as Envelope;
      if (typeof envelope.type !== 'string') throw new TypeError('no type');
      this.#hold(this.#events.frame({ text, envelope }));
      if (this.#welcomed) this.#events.envelope(envelope);
      else this.#greet(envelope);
    } catch (cause) {
      // Nothing a server sends may crash the program.
      const message = 'The server sent a frame that is not an envelope.';
      this.#events.invalid(new ArqonBusError('INVALID_FRAME', message, false, cause));
    }
  }

  #greet(envelope: Envelope): void {
    const { payload } = envelope;
    if (envelope.type !== 'system' || payload?.event !== 'welcome') return;
    const welcome = payload as unknown as Welcome;
    this.maxMessageBytes = welcome.limits.max_message_bytes;
    this.#welcomed = true;
    this.#cancel();
    this.#heartbeat = new Heartbeat(this.#clock, welcome.limits.ping_interval_ms, {
      probe: () => this.send(PROBE),
      // While reading is paused, the server cannot be heard.
      received: () => (this.#held > 0 ? Number.POSITIVE_INFINITY : this.#received()),
      dead: () => this.#drop(CLOSE.HEARTBEAT_MISSED, 'the line is dead'),
    });
    this.#events.welcome(welcome);
  }

  /** Pauses reading until all of `waits` have settled. */
  #hold(waits: readonly Promise<unknown>[]): void {
    if (waits.length === 0) return;
    this.#held += 1;
    this.#socket?.pause?.(true);
    void Promise.allSettled(waits).then(() => {
      this.#held -= 1;
      if (this.#held > 0 || this.#over) return;
      this.#heartbeat?.alive();
      this.#socket?.pause?.(false);
    });
  }

  #received(): number {
    return this.#socket?.bytesReceived ?? 0;
  }

  #isFull(): boolean {
    return !this.#over && (this.#socket?.bufferedAmount ?? 0) > HIGH_WATER_BYTES;
  }

  /** Ends the connection without waiting for the peer. */
  #drop(code: number, reason: string): void {
    this.#end({ code, reason });
    this.#socket?.terminate();
  }

  #end(end: SocketEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancel();
    this.#heartbeat?.stop();
    this.#events.ended(end);
  }
}

interface HeartbeatEvents {
  probe(): void;
  /** Bytes received so far: a large message that is still arriving proves that the connection is alive. */
  received(): number;
  dead(): void;
}

/**
 * Detects a connection that is dead but not closed. The server pings (PROTOCOL section 1), so silence beyond its
 * interval is suspicious; because browsers hide pings, a probe is sent before the connection is dropped.
 *
 * Uses one timer that is rescheduled only when it fires: a busy connection costs one assignment per frame.
 */
class Heartbeat {
  readonly #clock: Clock;
  readonly #events: HeartbeatEvents;
  readonly #silenceMs: number;
  #lastAlive: number;
  #cancel: () => void = () => {};
  #probed = false;
  #bytes = 0;

  constructor(clock: Clock, pingIntervalMs: number, events: HeartbeatEvents) {
    this.#clock = clock;
    this.#silenceMs = pingIntervalMs + GRACE_MS;
    this.#events = events;
    this.#lastAlive = clock.now();
    this.#wait(this.#silenceMs);
  }

  alive(): void {
    this.#lastAlive = this.#clock.now();
    this.#probed = false;
  }

  /** Probes immediately: the network has changed, or the machine was suspended. */
  suspect(): void {
    if (this.#probed) return;
    this.#probed = true;
    this.#bytes = this.#events.received();
    this.#events.probe();
    this.#wait(PROBE_MS);
  }

  stop(): void {
    this.#cancel();
  }

  #wait(ms: number): void {
    this.stop();
    this.#cancel = after(this.#clock, ms, () => this.#check());
  }

  #check(): void {
    if (this.#probed) {
      const received = this.#events.received();
      if (received === this.#bytes && received !== Number.POSITIVE_INFINITY) {
        this.#events.dead();
        return;
      }
      // The probe's answer is queued behind the arriving data. Another probe shows the server that this client is
      // alive.
      this.#probed = false;
      this.suspect();
      return;
    }
    const now = this.#clock.now();
    // A clock that was set back must not delay the next check by hours.
    this.#lastAlive = Math.min(this.#lastAlive, now);
    const rest = this.#lastAlive + this.#silenceMs - now;
    if (rest > 0) this.#wait(rest);
    else this.suspect();
  }
}
