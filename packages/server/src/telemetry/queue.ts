/** A text queue for a slow reader, limited by count and size; the oldest are dropped first. */
export class TelemetryQueue {
  private readonly maxTexts: number;
  private readonly maxCharacters: number;
  private texts: string[] = [];
  private start = 0;
  private characters = 0;
  /** Dropped since the last {@link takeDropped}. */
  private dropped = 0;

  constructor(maxTexts: number, maxCharacters: number) {
    this.maxTexts = maxTexts;
    this.maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.texts.length - this.start;
  }

  /** Adds a text; returns how many older ones were dropped. */
  push(text: string): number {
    this.texts.push(text);
    this.characters += text.length;
    let lost = 0;
    while (this.size > this.maxTexts || (this.characters > this.maxCharacters && this.size > 1)) {
      this.shift();
      lost += 1;
    }
    this.dropped += lost;
    return lost;
  }

  shift(): string | undefined {
    const text = this.texts[this.start];
    if (text === undefined) return undefined;
    this.start += 1;
    this.characters -= text.length;
    if (this.start > this.texts.length / 2) {
      this.texts = this.texts.slice(this.start);
      this.start = 0;
    }
    return text;
  }

  takeDropped(): number {
    const { dropped } = this;
    this.dropped = 0;
    return dropped;
  }
}
