import { CLOSE, type Envelope, PROTOCOL_VERSION, SUBPROTOCOL, type Welcome } from '@arqonbus/protocol';
import type { Clock } from './clock.ts';
import { ArqonBusError } from './errors.ts';
import { Heartbeat } from './heartbeat.ts';
import type { OpenSocket, Socket, SocketEnd, SocketRequest } from './socket.ts';

/** Unsent bytes above which a sender is asked to wait, and how often the socket is looked at meanwhile. */
const HIGH_WATER_BYTES = 1_048_576;
const DRAIN_POLL_MS = 10;
/** Any command would do: what counts is that something comes back. */
const PROBE = `{"version":"${PROTOCOL_VERSION}","id":"arq_probe","type":"command","command":"ping"}`;
/** How long the other side may take to answer a closing handshake. */
const CLOSE_TIMEOUT_MS = 2_000;

export interface ConnectionEvents {
  /** The server's first frame; from here on the connection may be used. */
  welcome(welcome: Welcome): void;
  envelope(envelope: Envelope): void;
  /** A frame that is no envelope; it was skipped. */
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
  #timer: unknown;
  #over = false;
  #welcomed = false;

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
    this.#timer = clock.setTimeout(() => this.#drop(1006, `no welcome within ${timeoutMs} ms`), timeoutMs);
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
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#drop(1006, 'closing handshake timed out'), CLOSE_TIMEOUT_MS);
    this.#socket?.close(1000);
  }

  #take(text: string): void {
    if (this.#over) return;
    try {
      const envelope = JSON.parse(text) as Envelope;
      if (typeof envelope.type !== 'string') throw new TypeError('no type');
      if (this.#welcomed) this.#events.envelope(envelope);
      else this.#greet(envelope);
    } catch (cause) {
      // Whatever a server sends, it must not end the program.
      const message = 'The server sent a frame that is no envelope.';
      this.#events.invalid(new ArqonBusError('INVALID_FRAME', message, false, cause));
    }
  }

  #greet(envelope: Envelope): void {
    const { payload } = envelope;
    if (envelope.type !== 'system' || payload?.event !== 'welcome') return;
    const welcome = payload as unknown as Welcome;
    this.maxMessageBytes = welcome.limits.max_message_bytes;
    this.#welcomed = true;
    this.#clock.clearTimeout(this.#timer);
    this.#heartbeat = new Heartbeat(
      this.#clock,
      welcome.limits.ping_interval_ms,
      () => this.send(PROBE),
      () => this.#drop(CLOSE.HEARTBEAT_MISSED, 'the line is dead'),
    );
    this.#events.welcome(welcome);
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
    this.#clock.clearTimeout(this.#timer);
    this.#heartbeat?.stop();
    this.#events.ended(end);
  }
}
