import type { Relayed } from './messages.ts';

/** How long events wait to be batched, in milliseconds. */
const GATHER_MS = 20;
/** Maximum UTF-16 units of events queued while a batch is being sent; further events are dropped. */
const MOST_UNITS = 1_048_576;

/** Relays telemetry in batches, one at a time; events beyond the queue limit are dropped and counted. */
export class TelemetryRelay {
  private readonly send: (events: readonly Relayed[], sent: () => void) => void;
  private readonly tellLost: (events: number) => void;
  private readonly most: number;
  private waiting: Relayed[] = [];
  private units = 0;
  private lost = 0;
  private isBusy = false;

  /** @param tellLost called with the number of dropped events when the next batch is sent */
  constructor(
    send: (events: readonly Relayed[], sent: () => void) => void,
    tellLost: (events: number) => void,
    most: number = MOST_UNITS,
  ) {
    this.send = send;
    this.tellLost = tellLost;
    this.most = most;
  }

  pass(event: Relayed): void {
    const { length } = event[0].text;
    if (this.units + length > this.most) {
      this.lost += 1;
      return;
    }
    this.waiting.push(event);
    this.units += length;
    if (this.isBusy) return;
    this.isBusy = true;
    setTimeout(() => this.flush(), GATHER_MS).unref();
  }

  private flush(): void {
    const { waiting, lost } = this;
    this.waiting = [];
    this.units = 0;
    this.lost = 0;
    if (lost > 0) this.tellLost(lost);
    this.send(waiting, () => {
      if (this.waiting.length > 0) this.flush();
      else this.isBusy = false;
    });
  }
}
