import { type Part, text } from './styled-text.ts';
import { write } from './writer.ts';

const WIDTH = 24;
/** How often a bar is drawn, milliseconds: nobody could read more. */
const INTERVAL_MS = 100;

/** A line on standard error that is drawn over again, while that is a terminal; without one it draws nothing. */
export class StatusLine {
  private isDrawn = false;

  draw(part: Part): void {
    if (!process.stderr.isTTY) return;
    this.isDrawn = true;
    write(process.stderr, 'restartLine', text`${part}`);
  }

  /** Takes the line away and leaves its place to others. */
  clear(): void {
    if (this.isDrawn) write(process.stderr, 'restartLine');
    this.isDrawn = false;
  }
}

/** A progress bar, drawn while there is time between other things. */
export class Progress {
  private readonly line = new StatusLine();
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

  /** Takes the bar away. */
  end(): void {
    this.line.clear();
  }

  private draw(): void {
    this.drawnAt = performance.now();
    const seconds = (this.drawnAt - this.started) / 1000;
    const rate = Math.round(this.done / Math.max(seconds, 0.001)).toLocaleString('en');
    this.line.draw(`${this.bar()}${this.done.toLocaleString('en')} ${this.what}  ${rate}/s`);
  }

  private bar(): string {
    if (this.total === undefined || this.total === 0) return '';
    const share = Math.min(1, this.done / this.total);
    const full = Math.round(share * WIDTH);
    return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.round(share * 100)} %  `;
  }
}
