import type { Socket } from 'node:net';
import { type FrameReader, FrameSplitter, FrameWriter } from './frames.ts';

export interface LineEvents {
  frame(frame: FrameReader): void;
  /** The connection has ended, for whatever reason; called once. */
  closed(reason: string): void;
}

/**
 * One end of a connection between a worker and the host: ordered frames, with all frames of one event loop turn in one
 * write.
 */
export class Line {
  readonly out: FrameWriter = new FrameWriter();
  private readonly socket: Socket;
  private readonly events: LineEvents;
  private isDue = false;
  private isOver = false;
  private reason = 'the connection was closed';

  constructor(socket: Socket, events: LineEvents) {
    this.socket = socket;
    this.events = events;
    const splitter = new FrameSplitter();
    const take = (frame: FrameReader): void => {
      if (!this.isOver) this.events.frame(frame);
    };
    socket.on('data', (chunk) => {
      try {
        splitter.push(chunk, take);
      } catch (error) {
        this.cut((error as Error).message);
      }
    });
    socket.on('error', (error) => this.cut(error.message));
    socket.on('close', () => this.cut(this.reason));
    socket.on('drain', () => socket.resume());
  }

  /** Bytes waiting for the other end to read, excluding those of this turn. */
  get backlog(): number {
    return this.socket.writableLength;
  }

  /** Sends what {@link out} holds at the end of this turn. */
  soon(): void {
    if (this.isDue) return;
    this.isDue = true;
    setImmediate(() => {
      this.isDue = false;
      this.flush();
    });
  }

  /** Stops reading until the other end has read what is waiting for it. */
  pauseUntilDrained(): void {
    if (this.socket.writableNeedDrain) this.socket.pause();
  }

  cut(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reason = reason;
    this.socket.destroy();
    this.events.closed(reason);
  }

  private flush(): void {
    if (this.isOver) return;
    const chunks = this.out.take();
    if (chunks.length === 0) return;
    this.socket.cork();
    for (const chunk of chunks) this.socket.write(chunk);
    this.socket.uncork();
  }
}
