import { StyledText } from './styled-text.ts';
import { clearStatus, drawStatus } from './writer.ts';

const WIDTH = 24;
/** Redraw interval, milliseconds. */
const INTERVAL_MS = 100;

/** A progress bar on standard error, redrawn at most once per interval. */
export class Progress {
  private readonly what: string;
  private readonly total: number | undefined;
  private readonly started: number = performance.now();
  private drawnAt: number = performance.now();
  private done = 0;

  /** @param total undefined if the total is unknown */
  constructor(what: string, total?: number) {
    this.what = what;
    this.total = total;
  }

  advance(by = 1): void {
    this.done += by;
    if (performance.now() - this.drawnAt >= INTERVAL_MS) this.draw();
  }

  /** Removes the bar. */
  end(): void {
    clearStatus();
  }

  private draw(): void {
    this.drawnAt = performance.now();
    const seconds = (this.drawnAt - this.started) / 1000;
    const rate = Math.round(this.done / Math.max(seconds, 0.001)).toLocaleString('en');
    drawStatus(StyledText.from(`${this.bar()}${this.done.toLocaleString('en')} ${this.what}  ${rate}/s`));
  }

  private bar(): string {
    if (this.total === undefined || this.total === 0) return '';
    const share = Math.min(1, this.done / this.total);
    const full = Math.round(share * WIDTH);
    return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.round(share * 100)} %  `;
  }
}
