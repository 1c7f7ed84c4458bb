import { CLOSE, type Envelope, PROTOCOL_VERSION, SUBPROTOCOL, type Welcome } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { ArqonBusError } from './errors.ts';
import type { OpenSocket, Socket, SocketEnd, SocketRequest } from './socket.ts';

/** Unsent bytes above which a sender is asked to wait, and how often the socket is looked at meanwhile. */
const HIGH_WATER_BYTES = 1_048_576;
const DRAIN_POLL_MS = 10;
/** Any command would do: what counts is that something comes back. */
const PROBE = `{"version":"${PROTOCOL_VERSION}","id":"arq_probe","type":"command","command":"ping","args":{}}`;
/** How long the other side may take to answer a closing handshake, milliseconds. */
const CLOSE_TIMEOUT_MS = 2_000;
/** Grace after a missed ping of the server, and time for the answer to a probe; milliseconds. */
const GRACE_MS = 5_000;
const PROBE_MS = 10_000;
/** Fewer bytes after the last message than this, and no message is on its way: pings come in between. */
const PARTIAL_BYTES = 1_024;

/**
 * A frame as it came over the wire, and what it says. Told by the client's event `frame`.
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
  /** Every envelope, before anything is done with it. What it returns holds the reading up until it settles. */
  frame(frame: Frame): readonly Promise<unknown>[];
  /** The server's first frame; from here on the connection may be used. */
  welcome(welcome: Welcome): void;
  envelope(envelope: Envelope): void;
  /** A frame that is not an envelope; it was skipped. */
  invalid(error: ArqonBusError): void;
  /** Once, whatever the end, also of a connection that was never welcomed. Never from within the constructor. */
  ended(end: SocketEnd): void;
}

/** One WebSocket from handshake to close: frames to envelopes, and a watch over the line. */
export class Connection {
  /** Largest frame the server takes, bytes of UTF-8; known with the welcome. */
  maxMessageBytes: number = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #events: ConnectionEvents;
  #socket: Socket | undefined;
  #heartbeat: Heartbeat | undefined;
  #cancel: () => void;
  #over = false;
  #welcomed = false;
  /** Bytes received up to the last whole message. */
  #wholeBytes = 0;
  /** Bytes received when {@link Connection.isReceiving} last said yes. */
  #toldBytes = 0;
  /** Listeners that have not finished with a frame. */
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
      // A header or subprotocol that the platform refuses to send: a malformed token, most likely.
      const reason = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => this.#end({ code: CLOSE.POLICY_VIOLATION, reason }));
    }
  }

  send(text: string): void {
    if (!this.#over) this.#socket?.send(text);
  }

  /** Resolves when the socket has room again; undefined when it has room now. A connection that ends has room. */
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

  /** Whether a large message is arriving, and more of it has come since this was last asked. */
  isReceiving(): boolean {
    const received = this.#received();
    const isReceiving = received > Math.max(this.#toldBytes, this.#wholeBytes + PARTIAL_BYTES);
    this.#toldBytes = received;
    return isReceiving;
  }

  /** Checks at once whether the line is still there. */
  suspect(): void {
    this.#heartbeat?.suspect();
  }

  /** Starts the closing handshake; `ended` follows, at the latest when the other side has had its time. */
  close(): void {
    if (this.#over) return;
    if (!this.#welcomed) {
      this.#drop(1006, 'closed');
      return;
    }
    this.#cancel();
    this.#cancel = after(this.#clock, CLOSE_TIMEOUT_MS, () => this.#drop(1006, 'closing handshake timed out'));
    // The answer is read only by a socket that reads.
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
      // Whatever a server sends, it must not end the program.
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
      // While reading is held up nothing can be heard of the server.
      received: () => (this.#held > 0 ? Number.POSITIVE_INFINITY : this.#received()),
      dead: () => this.#drop(CLOSE.HEARTBEAT_MISSED, 'the line is dead'),
    });
    this.#events.welcome(welcome);
  }

  /** Reads no further until all of `waits` have settled. */
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

  /** Ends it from this side, without waiting for the other. */
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
  /** Bytes received so far: a message that takes long to arrive shows that the line is there. */
  received(): number;
  dead(): void;
}

/**
 * Notices a line that is dead without having been closed. The server pings (PROTOCOL section 1), so silence for longer
 * than its interval is suspect; since browsers hide pings, a probe is sent before the line is given up.
 *
 * One timer that is moved only when it fires: a busy line costs one assignment a frame.
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

  /** Probes at once: the network has changed, or the machine was asleep. */
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
      // The probe's answer waits behind what is arriving. Another one tells the server that this side is there.
      this.#probed = false;
      this.suspect();
      return;
    }
    const now = this.#clock.now();
    // A clock that was set back must not put the next look off by hours.
    this.#lastAlive = Math.min(this.#lastAlive, now);
    const rest = this.#lastAlive + this.#silenceMs - now;
    if (rest > 0) this.#wait(rest);
    else this.suspect();
  }
}
