import type { Wire } from './outbox.ts';

/** A transport that accepts what it is given, or waits with that until it is told to. */
export class Line implements Wire {
  readonly oneByOne = false;
  isOpen = true;
  backlog = 0;
  /** Whether it accepts nothing for now. */
  isFull = false;
  /** Every write, and `close CODE` at the end. */
  readonly written: string[] = [];
  private readonly waiting: (() => void)[] = [];

  write(bytes: Buffer, taken: () => void = () => {}): void {
    if (bytes.length > 0) this.written.push(bytes.toString('latin1'));
    if (!this.isFull) setImmediate(taken);
    else {
      this.backlog += bytes.length;
      this.waiting.push(taken);
    }
  }

  drain(): void {
    this.isFull = false;
    this.backlog = 0;
    for (const taken of this.waiting.splice(0)) setImmediate(taken);
  }

  pauseReading(): void {}

  close(code: number): void {
    this.written.push(`close ${code}`);
  }
}
