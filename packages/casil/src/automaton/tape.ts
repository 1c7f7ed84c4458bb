import { astralClassOf, type Classes } from './alphabet.ts';
import { EDGE, type Kind } from './nfa.ts';

const INITIAL_LENGTH = 1_024;
/** Larger buffers are released after the search. */
const MAX_KEPT = 262_144;
/** The buffer for the current text, shared by all tapes, which are used one at a time. */
let space = new Uint8Array(INITIAL_LENGTH);

/**
 * A text as classes of an alphabet. A tape is reused, so that inspecting allocates nothing; its content is valid until
 * the next load of any tape.
 */
export class Tape {
  classes: Uint8Array = space;
  length = 0;
  readonly #alphabet: Classes;
  /** Position → index in the text; only set for texts with surrogate pairs, otherwise they are equal. */
  #offsets: number[] | undefined;

  constructor(alphabet: Classes) {
    this.#alphabet = alphabet;
  }

  /** Classifies `text` up to the index `end`. */
  load(text: string, end: number): void {
    if (space.length < end || (space.length > MAX_KEPT && end <= MAX_KEPT)) {
      space = new Uint8Array(Math.max(INITIAL_LENGTH, end > MAX_KEPT ? end : Math.min(2 * end, MAX_KEPT)));
    }
    const classes = space;
    this.classes = classes;
    const { bmp } = this.#alphabet;
    this.#offsets = undefined;
    for (let i = 0; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0xd800 && unit <= 0xdbff) {
        this.#loadPairs(text, end);
        return;
      }
      classes[i] = bmp[unit]!;
    }
    this.length = end;
  }

  /** The index in the text of a position on the tape. */
  indexOf(position: number): number {
    return this.#offsets === undefined ? position : this.#offsets[position]!;
  }

  /** The kind of the character before a position. */
  kindBefore(position: number): Kind {
    return position === 0 ? EDGE : this.#alphabet.kinds[this.classes[position - 1]!]!;
  }

  #loadPairs(text: string, end: number): void {
    const { classes } = this;
    const { bmp } = this.#alphabet;
    const offsets: number[] = [];
    let length = 0;
    for (let i = 0; i < end; length++) {
      offsets.push(i);
      const codePoint = text.codePointAt(i)!;
      // A pair split by the end counts as a lone first half.
      const pair = codePoint > 0xffff && i + 1 < end;
      classes[length] = pair ? astralClassOf(this.#alphabet, codePoint) : bmp[text.charCodeAt(i)]!;
      i += pair ? 2 : 1;
    }
    offsets.push(end);
    this.#offsets = offsets;
    this.length = length;
  }
}
