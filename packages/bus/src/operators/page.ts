import { z } from 'zod';
import { limitUpTo } from '../commands/arguments.ts';

/** Maximum entries of one response. */
export const MAX_PAGE = 500;
/** UTF-8 bytes of the entries of one response; with its envelope it stays under 1 MiB. */
export const MAX_PAGE_BYTES: number = 1_048_576 - 4_096;

/** Arguments of every list. */
export const PAGE: {
  readonly limit: z.ZodExactOptional<z.ZodNumber>;
  readonly after: z.ZodExactOptional<z.ZodString>;
} = {
  limit: limitUpTo(MAX_PAGE),
  after: z.string().max(512).describe('The "next" of the previous answer.').exactOptional(),
};

export interface PageArguments {
  readonly limit?: number;
  readonly after?: string;
}

export interface Page<R> {
  readonly entries: R[];
  /** Cursor of the next page; undefined on the last page. */
  readonly next: string | undefined;
}

/**
 * One page of items in the order of their places: at most `limit` (default 500), within the byte limit of a response,
 * but at least one. A place stays valid after its item is removed, so paging continues from it.
 *
 * @param placeOf a unique text that sorts the items
 * @param show the entry of an item in the response
 */
export function pageOf<T, R>(
  things: Iterable<T>,
  placeOf: (thing: T) => string,
  show: (thing: T) => R,
  { limit = MAX_PAGE, after = '' }: PageArguments,
): Page<R> {
  const entries: R[] = [];
  let bytes = 0;
  let last: string | undefined;
  for (const { place, thing } of lowest(things, placeOf, after, limit + 1)) {
    const entry = show(thing);
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (entries.length === limit || (entries.length > 0 && bytes > MAX_PAGE_BYTES)) return { entries, next: last };
    entries.push(entry);
    last = place;
  }
  return { entries, next: undefined };
}

interface Placed<T> {
  readonly place: string;
  readonly thing: T;
}

/** The first `count` items after `after`, sorted, without a sorted copy of all. */
function lowest<T>(things: Iterable<T>, placeOf: (thing: T) => string, after: string, count: number): Placed<T>[] {
  const byPlace = (one: Placed<T>, other: Placed<T>): number => (one.place < other.place ? -1 : 1);
  const found: Placed<T>[] = [];
  const cut = (): void => {
    found.sort(byPlace);
    found.length = Math.min(found.length, count);
  };
  for (const thing of things) {
    const place = placeOf(thing);
    if (place <= after) continue;
    found.push({ place, thing });
    if (found.length >= 2 * count + 64) cut();
  }
  cut();
  return found;
}
