import {
  compilePattern,
  type Envelope,
  encode,
  isChannelPattern,
  type JsonObject,
  newSecretId,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Socket, SocketEnd, SocketEvents, SocketRequest } from '../socket.ts';

/** The options of a joined address. */
export interface FakeMembership {
  echo: boolean;
  presence: boolean;
}

/**
 * The server's end of an in-process connection. Frames arrive in order, each in its own microtask; frames in flight
 * when the connection breaks are lost.
 *
 * ```ts
 * server.connection.notice({ event: 'hello' });
 * server.connection.kill(4429);
 * ```
 */
export class FakeConnection {
  readonly clientId: string = newSecretId('arq_client_');
  readonly request: SocketRequest;
  /** The query of the handshake: `client_type`, `client_key`, … */
  readonly query: URLSearchParams;
  /** By `room:channel`. */
  readonly memberships: Map<string, FakeMembership> = new Map();
  /** The client's end. */
  readonly socket: Socket;
  /** The code that the client closed with, if it did. */
  closedWith: number | undefined;
  /** The client's `bufferedAmount`: set it to test a full socket. */
  bufferedAmount = 0;
  /** The client's `bytesReceived`: raise it to test a large message that arrives slowly. */
  bytesReceived = 0;
  /** Whether the client has paused reading. Frames arrive anyway. */
  paused = false;
  /** Messages that the client may still send under {@link FakeServer.rateLimit}, and the time of this value. */
  budget: { tokens: number; at: number } | undefined;
  /** Consecutive refused messages. */
  refusals = 0;
  readonly #events: SocketEvents;
  readonly #onEnd: () => void;
  #over = false;
  #frozen = false;

  constructor(
    request: SocketRequest,
    events: SocketEvents,
    onFrame: (connection: FakeConnection, text: string) => void,
    onEnd: (connection: FakeConnection) => void,
  ) {
    this.request = request;
    this.query = new URL(request.url).searchParams;
    this.#events = events;
    this.#onEnd = () => onEnd(this);
    const self = this;
    this.socket = {
      get bufferedAmount() {
        return self.bufferedAmount;
      },
      get bytesReceived() {
        return self.bytesReceived;
      },
      pause: (paused) => {
        this.paused = paused;
      },
      send: (text) =>
        queueMicrotask(() => {
          if (!this.#over && !this.#frozen) onFrame(this, text);
        }),
      close: (code) => {
        this.closedWith = code;
        if (!this.#frozen) queueMicrotask(() => this.kill(code));
      },
      terminate: () => queueMicrotask(() => this.kill()),
    };
  }

  get open(): boolean {
    return !this.#over;
  }

  /** The memberships that receive an event at this address; a room-wide one reaches every member of the room. */
  covering(room: string, channel: string): FakeMembership[] {
    const matches = (name: string): boolean => {
      const [inRoom, pattern = ''] = name.split(':');
      return inRoom === room && isChannelPattern(pattern) && compilePattern(pattern)(channel);
    };
    const reached = [...this.memberships].filter(
      ([name]) =>
        name === `${room}:${channel}` ||
        name === `${room}:*` ||
        name === '*:*' ||
        matches(name) ||
        (channel === WILDCARD && name.startsWith(`${room}:`)),
    );
    return reached.map(([, membership]) => membership);
  }

  /** Sends an envelope from the server to this client; missing fields are filled in. */
  send(envelope: Partial<Envelope> & Pick<Envelope, 'type'>): void {
    this.sendText(encode({ payload: {}, ...envelope }));
  }

  /** Sends a frame unchanged. */
  sendText(text: string): void {
    queueMicrotask(() => {
      if (this.#over || this.#frozen) return;
      this.#events.alive();
      this.#events.message(text);
    });
  }

  /** Sends a `system` notice. */
  notice(payload: JsonObject): void {
    this.send({ type: 'system', payload });
  }

  /** The connection goes dead without notice: nothing arrives any more, in either direction. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends the connection: 1006 is a lost connection, any other code a close frame from the server. */
  kill(code = 1006, reason = ''): void {
    this.end({ code, reason });
  }

  /** Ends it with all details that a socket may report. */
  end(end: SocketEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#onEnd();
    queueMicrotask(() => this.#events.ended(end));
  }
}
