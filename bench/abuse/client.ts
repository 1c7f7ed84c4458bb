import { connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';

/** Counts of answers, errors and closes, by kind: `success`, `LIMIT_EXCEEDED`, `closed 4429`. */
export type Told = Map<string, number>;

export function tell(told: Told, what: string, times = 1): void {
  told.set(what, (told.get(what) ?? 0) + times);
}

export interface ClientOptions {
  readonly token?: string;
  /** The query of the upgrade request: `room`, `channel` and others. */
  readonly query?: Readonly<Record<string, string>>;
  /** Offers per-message compression. */
  readonly compression?: boolean;
  /** Counts frames without parsing them. */
  readonly blind?: boolean;
  /** Called with every frame. */
  readonly onFrame?: (frame: Frame) => void;
}

export interface Frame {
  readonly id: string;
  readonly type: string;
  readonly request_id?: string;
  readonly status?: string;
  readonly error_code?: string;
  readonly metadata?: { readonly hops?: number };
}

let lastId = 0;

/** A client of an attack: sends messages and counts the answers. */
export class Client {
  readonly told: Told;
  /** Frames and bytes received after the welcome. */
  frames = 0;
  bytes = 0;
  /** Answers that arrived before that of an earlier command. */
  disorder = 0;
  isOpen = true;
  private readonly ws: WebSocket;
  private readonly socket: Socket;
  private readonly onFrame: (frame: Frame) => void;
  private lastAnswered = 0;
  private waiting: { readonly until: () => boolean; readonly resolve: () => void }[] = [];

  private constructor(port: number, options: ClientOptions, told: Told) {
    const { token, query = {}, compression = false, blind = false, onFrame = () => {} } = options;
    this.told = told;
    this.onFrame = onFrame;
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.ws = new WebSocket(`ws://127.0.0.1:${port}/?${new URLSearchParams(query)}`, {
      createConnection: () => this.socket,
      perMessageDeflate: compression,
      ...(token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } }),
    });
    this.ws.on('message', (data: Buffer) => {
      this.frames += 1;
      this.bytes += data.length;
      if (!blind) this.read(data);
      this.look();
    });
    this.ws.on('error', () => {});
    this.ws.on('close', (code) => {
      this.isOpen = false;
      tell(told, `closed ${code}`);
      this.look();
    });
  }

  /** Resolves after the welcome; rejects if the handshake is refused. */
  static async open(port: number, options: ClientOptions = {}, told: Told = new Map()): Promise<Client> {
    const client = new Client(port, options, told);
    await new Promise<void>((resolve, reject) => {
      client.ws.once('message', () => resolve());
      client.ws.once('error', reject);
    });
    client.frames = 0;
    client.bytes = 0;
    return client;
  }

  command(command: string, args: object): void {
    this.send({ type: 'command', command, args });
  }

  send(envelope: object): void {
    lastId += 1;
    this.ws.send(JSON.stringify({ version: '1.0', id: `arq_abuse_${lastId}`, ...envelope }));
  }

  /** Everything sent by `write` leaves in one socket write. */
  pipelined(write: () => void): void {
    this.socket.cork();
    write();
    this.socket.uncork();
  }

  /** Bytes that the bus has not accepted yet. */
  get unsent(): number {
    return this.socket.writableLength;
  }

  /** Pauses or resumes reading. */
  pause(paused: boolean): void {
    if (paused) this.ws.pause();
    else this.ws.resume();
  }

  /** Resolves once `until` holds, checked after every frame, or the connection is closed. */
  when(until: () => boolean): Promise<void> {
    if (until() || !this.isOpen) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push({ until, resolve }));
  }

  end(): void {
    this.ws.removeAllListeners('close');
    this.isOpen = false;
    this.ws.terminate();
    this.look();
  }

  private read(data: Buffer): void {
    const frame = JSON.parse(String(data)) as Frame;
    this.onFrame(frame);
    if (frame.request_id === undefined) return;
    tell(this.told, frame.error_code ?? frame.status ?? frame.type);
    const number = Number(frame.request_id.slice('arq_abuse_'.length));
    if (number < this.lastAnswered) this.disorder += 1;
    this.lastAnswered = number;
  }

  private look(): void {
    if (this.waiting.length === 0) return;
    const { waiting } = this;
    this.waiting = [];
    for (const one of waiting) {
      if (!this.isOpen || one.until()) one.resolve();
      else this.waiting.push(one);
    }
  }
}
