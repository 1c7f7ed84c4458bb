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

/** How one client has joined one address. */
export interface FakeMembership {
  echo: boolean;
  presence: boolean;
}

/**
 * The server's end of a connection that never leaves the process. Frames arrive in their order, each in a microtask of
 * its own; those that are on their way when the line breaks are lost.
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
  /** Code that the client closed with, when it did. */
  closedWith: number | undefined;
  /** What the client's `bufferedAmount` answers: set it to test a full socket. */
  bufferedAmount = 0;
  /** What the client's `bytesReceived` answers: raise it to test a large message that takes long to arrive. */
  bytesReceived = 0;
  /** Whether the client has stopped reading. What is sent then arrives all the same. */
  paused = false;
  /** Messages that the client may still send under {@link FakeServer.rateLimit}, and when that was true. */
  budget: { tokens: number; at: number } | undefined;
  /** Messages refused in a row. */
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

  /** The memberships that an event of this address reaches; a room-wide one reaches every member of the room. */
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

  /** Sends an envelope of the server's own to this client; what is missing is filled in. */
  send(envelope: Partial<Envelope> & Pick<Envelope, 'type'>): void {
    this.sendText(encode({ payload: {}, ...envelope }));
  }

  /** Sends a frame as it is. */
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

  /** The line goes dead without anybody being told: nothing arrives any more, in either direction. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends the connection: 1006 is a broken line, any other code a close frame of the server. */
  kill(code = 1006, reason = ''): void {
    this.end({ code, reason });
  }

  /** Ends it with everything a socket may say of its end. */
  end(end: SocketEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#onEnd();
    queueMicrotask(() => this.#events.ended(end));
  }
}
