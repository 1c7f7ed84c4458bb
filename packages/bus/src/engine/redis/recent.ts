import type { Tag } from './entry.ts';

const WINDOW = 8_192;
const ORIGINS = 128;

/**
 * The publications that this node has handed to its members lately: the last {@link WINDOW} of each process. A stream's
 * sequence tells repeats as long as the stream lives; these tags do so when a server that lost its data is given a
 * publication again.
 */
export class RecentTags {
  private readonly origins = new Map<string, Float64Array>();

  has(tag: Tag): boolean {
    return this.origins.get(tag.origin)?.[tag.number % WINDOW] === tag.number;
  }

  add(tag: Tag): void {
    let numbers = this.origins.get(tag.origin);
    if (numbers === undefined) {
      numbers = new Float64Array(WINDOW);
      if (this.origins.size === ORIGINS) this.forgetOldest();
      // A copy: the text that the origin was cut from must not live as long as this map.
      this.origins.set(Buffer.from(tag.origin).toString(), numbers);
    }
    numbers[tag.number % WINDOW] = tag.number;
  }

  private forgetOldest(): void {
    const oldest = this.origins.keys().next();
    if (!oldest.done) this.origins.delete(oldest.value);
  }
}
