import { connect, type Socket } from 'node:net';
import { CHANNEL, envelopeFor } from '../envelope.ts';
import type { Dialect, Exchange } from '../peers/peer.ts';
import type { Arrivals, ControlFrames, Receiver } from './arrivals.ts';
import { tellControlFrame } from './control-frame.ts';
import { maskedFrame, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PONG, OPCODE_TEXT } from './frame-bytes.ts';
import { headerBytes, opcodeOf, payloadBytes } from './frame-header.ts';
import { FrameReceiver } from './frame-receiver.ts';
import { MarkReceiver } from './mark-receiver.ts';
import { RecordReceiver } from './record-receiver.ts';
import { UnframingReceiver } from './unframing-receiver.ts';

/** All sockets read into one buffer, whose content is processed before the next read. */
const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024);
const CONVERSATION_MS = 30_000;

export interface ConnectionOptions {
  readonly port: number;
  readonly dialect: Dialect;
  /** Request target; default: the dialect's. */
  readonly path?: string;
  /** The connection ended unexpectedly. */
  readonly lost: (reason: string) => void;
}

interface Waiting {
  readonly expect: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A client connection on a bare socket: exchanges text during setup, then only counts messages. Created by
 * {@link Connection.open}.
 */
export class Connection implements ControlFrames {
  readonly #dialect: Dialect;
  readonly #lost: (reason: string) => void;
  readonly #socket: Socket;
  #receiver: Receiver | undefined;
  /** Bytes and text of the conversation not consumed by an exchange yet. */
  #bytes: Buffer = Buffer.alloc(0);
  #heard = '';
  #waiting: Waiting | undefined;
  #inFrames = false;
  #ended = false;

  private constructor(options: ConnectionOptions) {
    this.#dialect = options.dialect;
    this.#lost = options.lost;
    this.#socket = connect({
      host: '127.0.0.1',
      port: options.port,
      noDelay: true,
      onread: { buffer: READ_BUFFER, callback: (size) => this.#read(size) },
    });
    this.#socket.on('error', (error) => this.#end(error.message));
    this.#socket.on('close', () => this.#end('the server closed the connection'));
  }

  /**
   * Connects, upgrades and performs the dialect's opening exchanges. Rejects with a sentence if the server deviates.
   */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options);
    const path = options.path ?? options.dialect.path;
    if (options.dialect.transport === 'websocket') await connection.#upgrade(path);
    if (options.dialect.transport === 'sse') connection.#request(path);
    await connection.converse(options.path === undefined ? options.dialect.opening : []);
    return connection;
  }

  /** Performs all exchanges and returns the text received in the last one. */
  async converse(exchanges: readonly Exchange[]): Promise<string> {
    let answer = '';
    for (const { send, expect } of exchanges) {
      if (send !== undefined) this.say(send);
      answer = await this.#hear(expect);
    }
    return answer;
  }

  /** From now on counts messages, all of one channel. */
  count(arrivals: Arrivals, channel: string = CHANNEL): void {
    this.#receive(this.#receiverFor(this.#answering(arrivals), channel));
  }

  /** From now on counts messages by their marks, however the server packs them. */
  countMarks(arrivals: Arrivals): void {
    const marks = new MarkReceiver(arrivals, this.#dialect.refusal);
    this.#receive(this.#dialect.transport === 'websocket' ? new UnframingReceiver(marks, this) : marks);
  }

  #answering(arrivals: Arrivals): Arrivals {
    return {
      every: arrivals.every,
      inspect: (ordinal, bytes, start, end) => arrivals.inspect(ordinal, bytes, start, end),
      arrived: (from, to) => arrivals.arrived(from, to),
      aside: (text) => {
        const answer = this.#dialect.answer?.(text);
        if (answer !== undefined) this.say(answer);
        else arrivals.aside(text);
      },
    };
  }

  /** Bytes left from the conversation are processed first. */
  #receive(receiver: Receiver): void {
    this.#receiver = receiver;
    receiver.receive(this.#bytes, 0, this.#bytes.length);
    this.#bytes = Buffer.alloc(0);
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Sends a text in the dialect. */
  say(text: string): void {
    const payload = Buffer.from(text);
    const opcode = this.#dialect.frames === 'text' ? OPCODE_TEXT : OPCODE_BINARY;
    this.#socket.write(this.#dialect.transport === 'websocket' ? maskedFrame(opcode, payload) : payload);
  }

  /** Breaks the connection, like a network failure. */
  cut(): void {
    this.#ended = true;
    this.#socket.destroy();
  }

  ping(payload: Buffer): void {
    this.#socket.write(maskedFrame(OPCODE_PONG, payload));
  }

  closed(code: number | undefined, reason: string): void {
    this.#end(`the server closed with code ${code ?? 'none'} ${reason}`.trimEnd());
  }

  #receiverFor(arrivals: Arrivals, channel: string): Receiver {
    const { delivery, transport, refusal } = this.#dialect;
    if (delivery.kind === 'frame') return new FrameReceiver(arrivals, this);
    const inner =
      delivery.kind === 'mark'
        ? new MarkReceiver(arrivals, refusal)
        : new RecordReceiver(
            arrivals,
            delivery.lead.charCodeAt(0),
            delivery.around(envelopeFor(channel), channel).length,
          );
    return transport === 'websocket' ? new UnframingReceiver(inner, this) : inner;
  }

  /** An HTTP/1.0 response is not chunked, so chunk headers cannot split a message. */
  #request(path: string): void {
    this.#socket.write(`GET ${path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n`);
  }

  async #upgrade(path: string): Promise<void> {
    // The accept value is not checked, so all connections can use the same key.
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#socket.remotePort ?? ''}\r\nUpgrade: websocket\r\n` +
        'Connection: Upgrade\r\nSec-WebSocket-Key: YmVuY2htYXJrIGxvYWQgIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    await this.#hear(' 101 ');
  }

  #hear(expect: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(`no ${JSON.stringify(expect)} came`), CONVERSATION_MS);
      const settle = (done: () => void): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        this.#heard = '';
        done();
      };
      this.#waiting = {
        expect,
        resolve: (answer) => settle(() => resolve(answer)),
        reject: (error) => settle(() => reject(error)),
      };
      this.#listen();
    });
  }

  #read(size: number): boolean {
    if (this.#receiver !== undefined) this.#receiver.receive(READ_BUFFER, 0, size);
    else {
      this.#bytes = Buffer.concat([this.#bytes, READ_BUFFER.subarray(0, size)]);
      this.#listen();
    }
    return true;
  }

  /** Converts bytes of the conversation to text, and ends the wait once it contains the expected text. */
  #listen(): void {
    if (this.#dialect.transport !== 'websocket') this.#hearBytes(this.#bytes.length);
    else if (!this.#inFrames) {
      const head = this.#bytes.indexOf('\r\n\r\n');
      if (head === -1) return;
      this.#hearBytes(head + 4);
      if (!this.#heard.includes(' 101 ')) this.#end('the upgrade was refused');
      this.#inFrames = true;
    } else {
      for (let size = this.#frameBytes(); size > 0; size = this.#frameBytes()) this.#hearFrame(size);
    }
    const waiting = this.#waiting;
    if (waiting !== undefined && this.#heard.includes(waiting.expect)) waiting.resolve(this.#heard);
  }

  #hearBytes(size: number): void {
    this.#heard += this.#bytes.toString('latin1', 0, size);
    this.#bytes = this.#bytes.subarray(size);
  }

  /** Keep-alives are also answered here, because opening thousands of connections takes long. */
  #hearFrame(size: number): void {
    const opcode = opcodeOf(this.#bytes, 0);
    const payload = this.#bytes.subarray(headerBytes(this.#bytes, 0, size), size);
    if (opcode >= OPCODE_CLOSE) {
      this.#bytes = this.#bytes.subarray(size);
      tellControlFrame(this, opcode, payload);
      return;
    }
    const answer = this.#dialect.answer?.(payload.toString('latin1').trim());
    if (answer !== undefined) this.say(answer);
    this.#hearBytes(size);
  }

  /** Length of the complete frame at the start of the unused bytes, 0 if there is none. */
  #frameBytes(): number {
    const end = this.#bytes.length;
    const body = end === 0 ? 2 : headerBytes(this.#bytes, 0, end);
    if (body > end) return 0;
    const size = body + payloadBytes(this.#bytes, 0);
    return size <= end ? size : 0;
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const heard = this.#heard === '' ? '' : `; it said: ${this.#heard.slice(-500)}`;
    if (this.#waiting !== undefined) this.#waiting.reject(new Error(`${reason}${heard}`));
    else this.#lost(reason);
    this.#socket.destroy();
  }
}
