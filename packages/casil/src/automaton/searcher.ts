import type { Automata } from './build.ts';
import type { Dfa } from './determinize.ts';
import { type Marks, markAll, sharedMarks } from './marks.ts';
import { Tape } from './tape.ts';

/** Step limit for processing the marks: per character of the text, plus a constant. */
const STEPS_PER_CHARACTER = 4;
const SPARE_STEPS = 4_096;

/** Receives the matches of a search. */
export interface MatchSink {
  /** Whether to find the end of a possible match of the spec `index`. */
  admits(index: number, start: number): boolean;
  /**
   * A match of the spec `index`; `from` is after its context, if it has one, and `end` is exclusive. `sure` is false if
   * the step limit was reached: then the match counts as reaching to the end of the text, and the search ends. Returns
   * whether to continue.
   */
  match(index: number, from: number, end: number, sure: boolean): boolean;
}

/**
 * Finds the matches of many patterns in a text, in time linear in the text for any input.
 *
 * Prebuilt automata search backward for the heads of all patterns at once, and mark every place where a match may
 * start. From there, the pattern's own automaton reads forward to the end of the match, leftmost-first as in RE2.
 * Matches of one pattern do not overlap; those of two patterns may.
 */
export class Searcher {
  readonly #automata: Automata;
  readonly #tape: Tape;
  /** Spec → end of its last match. */
  readonly #ends: Int32Array;
  #steps = 0;

  constructor(automata: Automata) {
    this.#automata = automata;
    this.#tape = new Tape(automata.classes);
    this.#ends = new Int32Array(automata.bodies.length);
  }

  /** Reports the matches in `text` up to the index `length`, from left to right for each pattern. */
  search(text: string, length: number, sink: MatchSink): void {
    const tape = this.#tape;
    const { heads } = this.#automata;
    tape.load(text, length);
    const found = sharedMarks(heads.length);
    markAll(heads, tape.classes, tape.length, found);
    this.#steps = -1;
    for (let k = 0; k < heads.length; k++) {
      const marks = found[k]!;
      if (marks.count === 0) continue;
      if (this.#steps < 0) this.#prepare();
      if (!this.#follow(heads[k]!, marks, length, sink)) return;
    }
  }

  #prepare(): void {
    this.#steps = this.#tape.length * STEPS_PER_CHARACTER + SPARE_STEPS;
    this.#ends.fill(0);
  }

  /** Finds the end of each marked match; returns false to stop. */
  #follow(
    { acceptIds, acceptOffsets, acceptFrom, width }: Dfa,
    { positions, rows, count }: Marks,
    length: number,
    sink: MatchSink,
  ): boolean {
    const { bodies, contexts } = this.#automata;
    const ends = this.#ends;
    for (let k = count - 1; k >= 0; k--) {
      const position = positions[k]!;
      const row = (rows[k]! - acceptFrom) / width;
      const last = acceptOffsets[row + 1]!;
      for (let j = acceptOffsets[row]!; j < last; j++) {
        const id = acceptIds[j]!;
        this.#steps--;
        if (position < ends[id]!) continue;
        const start = this.#tape.indexOf(position);
        if (!sink.admits(id, start)) continue;
        const end = this.#endOf(bodies[id]!, position);
        if (this.#steps <= 0) {
          sink.match(id, start, length, false);
          return false;
        }
        if (end < 0) continue;
        ends[id] = end;
        const context = contexts[id];
        const from = context === undefined ? start : this.#tape.indexOf(this.#endOf(context, position));
        if (!sink.match(id, from, this.#tape.indexOf(end), true)) return false;
      }
    }
    return true;
  }

  /** The end of the match that starts at `position`, or -1. */
  #endOf({ table, width, starts, acceptFrom, dead }: Dfa, position: number): number {
    const { classes, length } = this.#tape;
    const stop = Math.min(length, position + this.#steps);
    let row = starts[this.#tape.kindBefore(position)]!;
    let end = -1;
    let i = position;
    while (i < stop) {
      row = table[row + classes[i]!]!;
      if (row >= acceptFrom) end = i;
      i++;
      if (row === dead) break;
    }
    this.#steps -= i - position;
    if (i === length && table[row + width - 1]! >= acceptFrom) end = length;
    return end;
  }
}
