import type { Position } from '@arqonbus/protocol';

/** Maximum length of a position as text: request headers total at most 16 KiB, including others. */
export const MAX_LENGTH = 6_144;

/** One stream of a position: `room:channel=SEQUENCE@EPOCH`, or `room:channel` if nothing of it was received. */
export interface Entry {
  /** `room:channel`. */
  readonly name: string;
  readonly position: Position | undefined;
}

/**
 * The entries of a position as text: memberships first, with a plus, then further streams of their rooms. Most events
 * advance the same stream as the event before them, so the text around its entry is kept.
 */
export class PositionText {
  private readonly entries: string[];
  private readonly memberships: number;
  private readonly indexes: ReadonlyMap<string, number>;
  /** The entry that changed last. */
  private last = 0;
  /** The text before and after it; null if it is not known. */
  private around: { readonly before: string; readonly after: string } | null = null;
  /** Whether the last {@link text} left nothing out. */
  isWhole = true;

  private constructor(entries: string[], memberships: number, indexes: ReadonlyMap<string, number>) {
    this.entries = entries;
    this.memberships = memberships;
    this.indexes = indexes;
  }

  static of(memberships: readonly Entry[], others: readonly Entry[]): PositionText {
    const all = [...memberships, ...others];
    const indexes = new Map(all.map(({ name }, index) => [name, index]));
    return new PositionText(all.map(write), memberships.length, indexes);
  }

  copy(): PositionText {
    const copy = new PositionText([...this.entries], this.memberships, this.indexes);
    copy.last = this.last;
    copy.around = this.around;
    copy.isWhole = this.isWhole;
    return copy;
  }

  /** Changes the position of a stream; false if the text has no entry for it. */
  advance(name: string, position: Position): boolean {
    const index = this.indexes.get(name);
    if (index === undefined) return false;
    this.entries[index] = write({ name, position });
    if (index !== this.last) this.around = null;
    this.last = index;
    return true;
  }

  /**
   * As many entries as fit. A room's stream that is left out is replayed from its start; a membership that is left out
   * is not resumed.
   */
  text(): string {
    const { entries, last } = this;
    if (entries.length === 0) return '';
    this.around ??= this.aroundLast();
    const { before, after } = this.around;
    const text = `${before}${entries[last]}${after}`;
    this.isWhole = text.length < MAX_LENGTH;
    return this.isWhole ? text : within(this.marked());
  }

  private aroundLast(): { before: string; after: string } {
    const { last } = this;
    const marked = this.marked();
    return {
      before: [...marked.slice(0, last), this.mark(last)].join(','),
      after: ['', ...marked.slice(last + 1)].join(','),
    };
  }

  private marked(): string[] {
    return this.entries.map((entry, index) => `${this.mark(index)}${entry}`);
  }

  private mark(index: number): string {
    return index < this.memberships ? '+' : '';
  }
}

function write({ name, position }: Entry): string {
  return position === undefined ? name : `${name}=${position.sequence}@${position.epoch}`;
}

function within(entries: readonly string[]): string {
  let length = 0;
  const fitting = entries.filter((entry) => {
    if (length + entry.length >= MAX_LENGTH) return false;
    length += entry.length + 1;
    return true;
  });
  return fitting.join(',');
}
