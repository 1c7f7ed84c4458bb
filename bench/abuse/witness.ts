import { WebSocket } from 'ws';
import { ProcessorWaits } from './machine.ts';

/**
 * The working client during an attack, in a separate process: it publishes 100 messages per second to a channel it
 * has joined, each with an ack, and waits for both ack and message. It keeps this rate regardless of the bus, so that a
 * stall shows in every message that was due during it.
 *
 * The machine is shared with the attack and other processes. Their cost is subtracted: from each round trip the time
 * during which this process, the bus and, if there is one, its storage thread waited for a CPU, according to the
 * kernel; or, if that is unknown, the delay of this process's own timer.
 */
const EVERY_MS = 10;
/** How long to wait for the last answers, in milliseconds. */
const GRACE_MS = 5_000;
const LATE = new Set(['ack', 'error']);

export interface WitnessJob {
  readonly port: number;
  readonly pid: number;
  readonly token: string | null;
  /** The threads of the bus that a message passes. */
  readonly passing: 'main' | 'storage';
}

export interface WitnessFigures {
  readonly sent: number;
  /** Messages that were refused, never acknowledged or never delivered. */
  readonly lost: number;
  /** Round trips, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
  /** The 99th percentile without any subtraction. */
  readonly rawP99: number;
  /** The first refusal. */
  readonly refusal: string | null;
}

/** The delay of the own timer, and the CPU wait of each thread of this process and of the bus. */
interface Waits {
  readonly late: number;
  readonly own: readonly number[];
  readonly bus: readonly number[];
}

interface Sent {
  readonly at: number;
  readonly waited: Waits;
  isAcked: boolean;
  isDelivered: boolean;
}

class Witness {
  private readonly ws: WebSocket;
  private readonly own: ProcessorWaits = new ProcessorWaits(process.pid, 'main');
  private readonly bus: ProcessorWaits;
  private readonly open: Map<string, Sent> = new Map();
  private readonly trips: number[] = [];
  private readonly raw: number[] = [];
  private sent = 0;
  private refusal: string | null = null;
  private timer: NodeJS.Timeout | undefined;
  private due = 0;
  /** Total delay of the own timer. */
  private late = 0;
  private onEmpty: (() => void) | undefined;

  constructor({ port, pid, token, passing }: WitnessJob) {
    this.bus = new ProcessorWaits(pid, passing);
    this.ws = new WebSocket(`ws://127.0.0.1:${port}/`, {
      perMessageDeflate: false,
      ...(token === null ? {} : { headers: { Authorization: `Bearer ${token}` } }),
    });
    this.ws.on('message', (data) => this.receive(String(data)));
    this.ws.on('close', (code) => {
      this.refusal ??= `closed ${code}`;
      this.onEmpty?.();
    });
    this.ws.on('error', (error) => {
      this.refusal ??= error.message;
    });
  }

  private receive(text: string): void {
    const now = performance.now();
    const frame = JSON.parse(text) as {
      type: string;
      id: string;
      request_id?: string;
      error_code?: string;
      payload: { event?: string };
    };
    if (frame.payload.event === 'welcome') {
      this.say({
        type: 'command',
        id: 'arq_witness_join',
        command: 'join_channel',
        args: { room: 'witness', channel: 'beat', echo: true },
      });
    } else if (frame.request_id === 'arq_witness_join') {
      if (frame.error_code !== undefined) this.refusal = frame.error_code;
      process.send?.('ready');
      this.due = performance.now();
      this.timer = setTimeout(this.beat, EVERY_MS);
    } else if (LATE.has(frame.type)) {
      if (frame.type === 'error') this.refusal ??= frame.error_code ?? 'error';
      else
        this.note(frame.request_id ?? '', now, (one) => {
          one.isAcked = true;
        });
    } else if (frame.type === 'event')
      this.note(frame.id, now, (one) => {
        one.isDelivered = true;
      });
  }

  private note(id: string, now: number, mark: (one: Sent) => void): void {
    const one = this.open.get(id);
    if (one === undefined) return;
    mark(one);
    if (!one.isAcked || !one.isDelivered) return;
    this.open.delete(id);
    const raw = now - one.at;
    this.raw.push(raw);
    this.trips.push(Math.max(0, raw - this.waitedSince(one.waited)));
    if (this.open.size === 0) this.onEmpty?.();
  }

  private waits(): Waits {
    return { late: this.late, own: this.own.now(), bus: this.bus.now() };
  }

  /** Milliseconds since then that are due to the machine, not the bus. */
  private waitedSince(before: Waits): number {
    const now = this.waits();
    if (!this.own.areKnown || !this.bus.areKnown) return now.late - before.late;
    return ProcessorWaits.between(before.own, now.own) + ProcessorWaits.between(before.bus, now.bus);
  }

  private readonly beat = (): void => {
    const now = performance.now();
    this.late += Math.max(0, now - this.due - EVERY_MS);
    for (; this.due + EVERY_MS <= now; this.due += EVERY_MS) this.publish();
    this.timer = setTimeout(this.beat, this.due + EVERY_MS - performance.now());
  };

  private publish(): void {
    this.sent += 1;
    const id = `arq_witness_${this.sent}`;
    this.open.set(id, { at: performance.now(), waited: this.waits(), isAcked: false, isDelivered: false });
    this.say({ type: 'event', id, room: 'witness', channel: 'beat', payload: { n: this.sent }, ack: true });
  }

  private say(envelope: object): void {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify({ version: '1.0', ...envelope }));
  }

  /** Stops sending, waits for open messages, and returns the results. */
  async finish(): Promise<WitnessFigures> {
    clearTimeout(this.timer);
    if (this.open.size > 0 && this.ws.readyState === WebSocket.OPEN) {
      await new Promise<void>((resolve) => {
        this.onEmpty = resolve;
        setTimeout(resolve, GRACE_MS);
      });
    }
    return {
      sent: this.sent,
      lost: this.open.size,
      ...spread(this.trips),
      rawP99: spread(this.raw).p99,
      refusal: this.refusal,
    };
  }
}

/** Percentiles of round trips; NaN if there are none. */
export function spread(trips: readonly number[]): { p50: number; p99: number; worst: number } {
  const sorted = [...trips].sort((one, other) => one - other);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), worst: at(1) };
}

if (process.send !== undefined && process.env.ARQON_ABUSE_WITNESS !== undefined) {
  const witness = new Witness(JSON.parse(process.env.ARQON_ABUSE_WITNESS) as WitnessJob);
  process.on('message', async () => {
    process.send?.(await witness.finish());
    process.disconnect();
    process.exit(0);
  });
}
