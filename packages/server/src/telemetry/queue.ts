/** Texts on their way to a slow reader: bounded by number and size, the oldest are lost first. */
export class TelemetryQueue {
  private readonly maxTexts: number;
  private readonly maxCharacters: number;
  private texts: string[] = [];
  private start = 0;
  private characters = 0;
  /** Lost since {@link takeDropped} was asked last. */
  private dropped = 0;

  constructor(maxTexts: number, maxCharacters: number) {
    this.maxTexts = maxTexts;
    this.maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.texts.length - this.start;
  }

  /** Adds a text; answers how many older ones were lost for it. */
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
