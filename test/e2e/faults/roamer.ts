import { setTimeout as pause } from 'node:timers/promises';
import { type Frame, Line } from './line.ts';
import type { Random } from './random.ts';

const RETRY_MS = 100;

/** What a client does with its connections. */
export interface Errand {
  /** Called with a new connection: continue here what an earlier one left unfinished. */
  connected(line: Line): void;
  frame(frame: Frame, line: Line): void;
}

/** Keeps a client connected to some node: when its connection ends, it reconnects to the same or another one. */
export class Roamer {
  /** Number of connections so far. */
  connections = 0;
  line: Line | null = null;
  private readonly urls: readonly string[];
  private readonly query: Readonly<Record<string, string>>;
  private readonly random: Random;
  private readonly errand: Errand;
  private readonly ended: Promise<void>;
  private stopped = false;

  constructor(urls: readonly string[], query: Readonly<Record<string, string>>, random: Random, errand: Errand) {
    this.urls = urls;
    this.query = query;
    this.random = random;
    this.errand = errand;
    this.ended = this.roam();
  }

  /** Cuts the connection, if there is one; it reconnects shortly after. */
  cut(): void {
    const { line } = this;
    // Data that still arrives on it counts as not received.
    this.line = null;
    line?.cut();
  }

  stop(): Promise<void> {
    this.stopped = true;
    this.cut();
    return this.ended;
  }

  private async roam(): Promise<void> {
    while (!this.stopped) {
      await this.visit().catch(() => {});
      this.line = null;
      if (!this.stopped) await pause(this.random.between(RETRY_MS / 2, RETRY_MS * 2));
    }
  }

  /** One connection, from beginning to end. Rejects when there is no server. */
  private async visit(): Promise<void> {
    const line: Line = await Line.open(this.random.pick(this.urls), this.query, (frame) => {
      if (this.line === line) this.errand.frame(frame, line);
    });
    if (this.stopped) return line.cut();
    this.line = line;
    this.connections += 1;
    this.errand.connected(line);
    await line.ended;
  }
}
