import type { Dfa } from './determinize.ts';
import { EDGE } from './nfa.ts';

/**
 * The positions where one automaton accepted, from right to left. The lists are reused; only the first `count` entries
 * are valid.
 */
export class Marks {
  readonly positions: number[] = [];
  /** The row of the accepting state. */
  readonly rows: number[] = [];
  count = 0;

  add(position: number, row: number): void {
    this.positions[this.count] = position;
    this.rows[this.count] = row;
    this.count++;
  }
}

/** Larger lists are released after the search. */
const MAX_KEPT = 65_536;
const shared: Marks[] = [];

/**
 * Lists for the marks of `count` automata. All searchers share them, since searches run one at a time: with lists per
 * policy, memory would grow with the number of policies.
 */
export function sharedMarks(count: number): readonly Marks[] {
  for (let k = 0; k < count; k++) {
    const marks = shared[k];
    if (marks === undefined || marks.positions.length > MAX_KEPT) shared[k] = new Marks();
  }
  return shared;
}

/** Never moves and never accepts. */
const IDLE: Dfa = {
  table: new Int32Array(256),
  width: 256,
  starts: [0, 0, 0, 0],
  acceptFrom: 256,
  acceptIds: new Int32Array(0),
  acceptOffsets: new Int32Array(1),
  dead: -1,
};

/** Runs backward automata over a text and fills the marks of each. */
export function markAll(heads: readonly Dfa[], classes: Uint8Array, length: number, marks: readonly Marks[]): void {
  if (heads.length === 1) {
    markOne(heads[0]!, classes, length, marks[0]!);
    return;
  }
  for (let k = 0; k < heads.length; k += 4) markFour(heads, k, classes, length, marks);
}

function markOne({ table, width, starts, acceptFrom }: Dfa, classes: Uint8Array, length: number, marks: Marks): void {
  marks.count = 0;
  let row = starts[EDGE]!;
  for (let i = length - 1; i >= 0; i--) {
    row = table[row + classes[i]!]!;
    if (row >= acceptFrom) marks.add(i + 1, row);
  }
  row = table[row + width - 1]!;
  if (row >= acceptFrom) marks.add(0, row);
}

/**
 * Runs four automata at once: each step waits only for its own table, so four in a loop take little longer than one.
 */
function markFour(
  heads: readonly Dfa[],
  first: number,
  classes: Uint8Array,
  length: number,
  marks: readonly Marks[],
): void {
  const a = heads[first] ?? IDLE;
  const b = heads[first + 1] ?? IDLE;
  const c = heads[first + 2] ?? IDLE;
  const d = heads[first + 3] ?? IDLE;
  const { table: tableA, acceptFrom: acceptA } = a;
  const { table: tableB, acceptFrom: acceptB } = b;
  const { table: tableC, acceptFrom: acceptC } = c;
  const { table: tableD, acceptFrom: acceptD } = d;
  let rowA = a.starts[EDGE]!;
  let rowB = b.starts[EDGE]!;
  let rowC = c.starts[EDGE]!;
  let rowD = d.starts[EDGE]!;
  for (let k = first; k < first + 4 && k < heads.length; k++) marks[k]!.count = 0;
  const end = a.width - 1;
  for (let i = length; i >= 0; i--) {
    // The last step is at the beginning of the text. All automata of a text have the same classes.
    const id = i === 0 ? end : classes[i - 1]!;
    rowA = tableA[rowA + id]!;
    rowB = tableB[rowB + id]!;
    rowC = tableC[rowC + id]!;
    rowD = tableD[rowD + id]!;
    if (rowA >= acceptA) marks[first]!.add(i, rowA);
    if (rowB >= acceptB) marks[first + 1]!.add(i, rowB);
    if (rowC >= acceptC) marks[first + 2]!.add(i, rowC);
    if (rowD >= acceptD) marks[first + 3]!.add(i, rowD);
  }
}
