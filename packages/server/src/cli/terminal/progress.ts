const WIDTH = 24;
/** How often a bar is drawn, milliseconds: more often nobody could read. */
const INTERVAL_MS = 100;

/** A progress bar on standard error while that is a terminal; without one it draws nothing. */
export class Progress {
  private readonly what: string;
  private readonly total: number | undefined;
  private readonly started: number = performance.now();
  private drawnAt = 0;
  private done = 0;

  /** @param total undefined when nobody knows how much there will be */
  constructor(what: string, total?: number) {
    this.what = what;
    this.total = total;
  }

  advance(by = 1): void {
    this.done += by;
    if (performance.now() - this.drawnAt >= INTERVAL_MS) this.draw();
  }

  /** Takes the bar away and leaves the line to others. */
  end(): void {
    if (process.stderr.isTTY && this.drawnAt > 0) process.stderr.write('\r\u001b[2K');
  }

  private draw(): void {
    if (!process.stderr.isTTY) return;
    this.drawnAt = performance.now();
    const seconds = (this.drawnAt - this.started) / 1000;
    const rate = Math.round(this.done / Math.max(seconds, 0.001)).toLocaleString('en');
    process.stderr.write(`\r\u001b[2K${this.bar()}${this.done.toLocaleString('en')} ${this.what}  ${rate}/s`);
  }

  private bar(): string {
    if (this.total === undefined || this.total === 0) return '';
    const share = Math.min(1, this.done / this.total);
    const full = Math.round(share * WIDTH);
    return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.round(share * 100)} %  `;
  }
}
