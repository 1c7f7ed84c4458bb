import type { CharSets } from './charset.ts';
import { LAST_CODE_POINT } from './charset.ts';
import { KINDS, type Kind, NEWLINE, OTHER, WORD } from './nfa.ts';
import { PatternError } from './program.ts';

const BMP_SIZE = 0x10000;
const MAX_CLASSES = 255;
/** The sets of the kinds, so that every class has exactly one kind. */
const NEWLINE_SET = [10, 10];
const WORD_SET = [48, 57, 65, 90, 95, 95, 97, 122];
const BUILT_IN = 2;

/**
 * The part of an alphabet needed for searching: the class of each code point. Plain data, so that it can be built in
 * another thread.
 */
export interface Classes {
  /** Class of every code unit of the BMP. */
  readonly bmp: Uint8Array<ArrayBuffer>;
  /** First code points of the ranges above the BMP, ascending, and the class of each range. */
  readonly astralFrom: readonly number[];
  readonly astralClass: readonly number[];
  /** Class → its kind. */
  readonly kinds: readonly Kind[];
}

/** The class of a code point above the BMP. */
export function astralClassOf({ astralFrom, astralClass }: Classes, codePoint: number): number {
  let low = 0;
  let high = astralFrom.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (astralFrom[middle]! <= codePoint) low = middle;
    else high = middle - 1;
  }
  return astralClass[low]!;
}

/**
 * Partitions the code points into classes that no character set of the patterns distinguishes. Automata step by class,
 * which keeps their tables small, and a text is classified once for all automata.
 */
export class Alphabet implements Classes {
  /** Number of classes; also the class for the end of the text. */
  readonly size: number;
  readonly kinds: readonly Kind[];
  /** Kind → its classes. */
  readonly classesByKind: readonly (readonly number[])[];
  readonly bmp: Uint8Array<ArrayBuffer> = new Uint8Array(BMP_SIZE);
  /** Set number → 1 for each of its classes. */
  readonly members: readonly Uint8Array[];
  readonly astralFrom: number[] = [];
  readonly astralClass: number[] = [];

  /** Throws {@link PatternError} if the sets need more than 255 classes. */
  constructor(sets: CharSets) {
    const all = [NEWLINE_SET, WORD_SET, ...sets.all];
    const toggles = new Map<number, number[]>([[0, []]]);
    const toggle = (at: number, set: number): void => {
      const present = toggles.get(at);
      if (present === undefined) toggles.set(at, [set]);
      else present.push(set);
    };
    for (const [set, ranges] of all.entries()) {
      for (let i = 0; i < ranges.length; i += 2) {
        toggle(ranges[i]!, set);
        toggle(ranges[i + 1]! + 1, set);
      }
    }
    const bounds = [...toggles.keys()].sort((a, b) => a - b);
    const classes = new Map<string, number>();
    const kinds: Kind[] = [];
    const members = sets.all.map(() => new Uint8Array(MAX_CLASSES + 1));
    const active = new Set<number>();
    for (const [i, from] of bounds.entries()) {
      for (const set of toggles.get(from)!) {
        if (!active.delete(set)) active.add(set);
      }
      if (from > LAST_CODE_POINT) break;
      const signature = [...active].sort((a, b) => a - b).join();
      let id = classes.get(signature);
      if (id === undefined) {
        id = classes.size;
        classes.set(signature, id);
        kinds.push(active.has(0) ? NEWLINE : active.has(1) ? WORD : OTHER);
        if (id >= MAX_CLASSES) throw new PatternError('use too many different character classes together');
        for (const set of active) if (set >= BUILT_IN) members[set - BUILT_IN]![id] = 1;
      }
      this.#assign(from, (bounds[i + 1] ?? LAST_CODE_POINT + 1) - 1, id);
    }
    this.size = classes.size;
    this.kinds = kinds;
    this.classesByKind = KINDS.map((kind) => [...kinds.keys()].filter((id) => kinds[id] === kind));
    this.members = members;
  }

  /** The classes without the data for building only. */
  get classes(): Classes {
    const { bmp, astralFrom, astralClass, kinds } = this;
    return { bmp, astralFrom, astralClass, kinds };
  }

  #assign(from: number, to: number, id: number): void {
    if (from < BMP_SIZE) this.bmp.fill(id, from, Math.min(to + 1, BMP_SIZE));
    if (to >= BMP_SIZE) {
      this.astralFrom.push(Math.max(from, BMP_SIZE));
      this.astralClass.push(id);
    }
  }
}
