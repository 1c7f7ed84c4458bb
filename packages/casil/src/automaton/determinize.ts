import type { Alphabet } from './alphabet.ts';
import { type Closure, closureOf, Fan } from './fan.ts';
import { EDGE, KINDS, type Kind, type Nfa } from './nfa.ts';
import type { Partitions } from './partition.ts';

/** Limits of one determinization. Both are counts and not times, so that the result is deterministic. */
export interface Limits {
  readonly states: number;
  /** Edges followed while building. */
  readonly work: number;
}

/**
 * A complete deterministic automaton: every step is one table lookup, whatever the text. Plain data, so that it can be
 * built in another thread.
 */
export interface Dfa {
  /** Row of a state + class → row of the next state. */
  readonly table: Int32Array<ArrayBuffer>;
  readonly width: number;
  /** Row of the first state, by the kind of the character before the first one. */
  readonly starts: readonly number[];
  /** Rows from here on accept: a match ended (backward: starts) before the last character read. */
  readonly acceptFrom: number;
  /**
   * The ids accepted by the accepting rows: those of the k-th one are at `acceptOffsets[k]` to `acceptOffsets[k + 1]`.
   */
  readonly acceptIds: Int32Array<ArrayBuffer>;
  readonly acceptOffsets: Int32Array<ArrayBuffer>;
  /** The row of the state without transitions to others, or -1. */
  readonly dead: number;
}

interface State {
  readonly nodes: readonly number[];
  readonly before: Kind;
  readonly ids: readonly number[];
}

const NONE: readonly number[] = [];

/**
 * Builds the automaton that runs all threads of `nfa` at once, or returns undefined if it exceeds the limits.
 *
 * @param search a match may begin anywhere, and a state accepts all patterns that match; otherwise the match begins at
 * the first character, and threads keep their priority, so that the last accepting step is where RE2 ends the match
 */
export function determinize(nfa: Nfa, partitions: Partitions, search: boolean, limits: Limits): Dfa | undefined {
  return new Determinization(nfa, partitions, search, limits).run();
}

class Determinization {
  readonly #nfa: Nfa;
  readonly #partitions: Partitions;
  readonly #alphabet: Alphabet;
  readonly #search: boolean;
  readonly #limits: Limits;
  readonly #conditional: boolean;
  readonly #states: State[] = [];
  /** Hash of a state → the states with that hash. */
  readonly #index = new Map<number, number[]>();
  readonly #rows: number[][] = [];
  /**
   * In a search, the threads of a match that begins here: the same in every state, so they are not stored in states.
   */
  readonly #beginnings = new Map<number, Fan>();
  #work = 0;

  constructor(nfa: Nfa, partitions: Partitions, search: boolean, limits: Limits) {
    this.#nfa = nfa;
    this.#partitions = partitions;
    this.#alphabet = partitions.alphabet;
    this.#search = search;
    this.#limits = limits;
    this.#conditional = nfa.edges.some((edges) => edges.some((edge) => edge.type === 'when'));
  }

  run(): Dfa | undefined {
    const first = this.#search ? NONE : this.#nfa.starts;
    const starts = KINDS.map((kind) => this.#intern(first, kind, NONE));
    for (let state = 0; state < this.#states.length; state++) {
      this.#rows.push(this.#expand(this.#states[state]!));
      if (this.#states.length > this.#limits.states || this.#work > this.#limits.work) return undefined;
    }
    return this.#layOut(starts);
  }

  /** The successor states, by class and for the end. */
  #expand({ nodes, before }: State): number[] {
    const row: number[] = [];
    const atEnd = this.#closure(nodes, before, EDGE);
    for (const kind of KINDS) {
      const classes = this.#alphabet.classesByKind[kind]!;
      const closure = this.#conditional && kind !== EDGE ? this.#closure(nodes, before, kind) : atEnd;
      const going = new Fan(closure, kind, this.#partitions, !this.#search);
      const beginning = this.#search ? this.#beginning(before, kind) : undefined;
      const ids = union(going.ids, beginning?.ids ?? NONE);
      if (kind === EDGE) row[this.#alphabet.size] = this.#intern(NONE, EDGE, ids);
      const targets = new Map<number, number>();
      for (let i = 0; i < classes.length; i++) {
        const label = going.labels[i]!;
        const other = beginning?.labels[i] ?? 0;
        const key = label * this.#alphabet.size + other;
        let target = targets.get(key);
        if (target === undefined) {
          const step = going.step(label);
          // Without priorities the order is irrelevant; sorting makes equal states identical.
          target = this.#intern(beginning === undefined ? step : union(step, beginning.step(other)), kind, ids);
          targets.set(key, target);
          this.#work += step.length + closure.takes.length;
        }
        row[classes[i]!] = target;
      }
    }
    return row;
  }

  #closure(nodes: readonly number[], before: Kind, after: Kind): Closure {
    const [left, right] = this.#nfa.backward ? [after, before] : [before, after];
    const closure = closureOf(this.#nfa, nodes, left, right, !this.#search);
    this.#work += closure.work;
    return closure;
  }

  #beginning(before: Kind, after: Kind): Fan {
    const key = before * KINDS.length + after;
    let fan = this.#beginnings.get(key);
    if (fan === undefined) {
      const closure = this.#closure(this.#nfa.starts, before, after);
      fan = new Fan(closure, after, this.#partitions, false);
      this.#beginnings.set(key, fan);
    }
    return fan;
  }

  #intern(nodes: readonly number[], kind: Kind, ids: readonly number[]): number {
    // Without threads, the previous character is irrelevant, so there is only one dead state.
    const before = this.#conditional && (this.#search || nodes.length > 0) ? kind : EDGE;
    let hash: number = before;
    for (const node of nodes) hash = (Math.imul(hash, 31) + node) | 0;
    for (const id of ids) hash = (Math.imul(hash, 37) + id) | 0;
    const alike = this.#index.get(hash);
    const found = alike?.find((state) => {
      const known = this.#states[state]!;
      return known.before === before && equal(known.nodes, nodes) && equal(known.ids, ids);
    });
    if (found !== undefined) return found;
    const state = this.#states.length;
    this.#states.push({ nodes, before, ids });
    if (alike === undefined) this.#index.set(hash, [state]);
    else alike.push(state);
    this.#work += nodes.length;
    return state;
  }

  #layOut(starts: readonly number[]): Dfa {
    const width = this.#alphabet.size + 1;
    const order = [...this.#states.keys()].sort(
      (a, b) => Number(this.#states[a]!.ids.length > 0) - Number(this.#states[b]!.ids.length > 0),
    );
    const rowOf = new Int32Array(order.length);
    for (const [place, state] of order.entries()) rowOf[state] = place * width;
    const table = new Int32Array(order.length * width);
    for (const [place, state] of order.entries()) {
      for (const [id, next] of this.#rows[state]!.entries()) table[place * width + id] = rowOf[next]!;
    }
    const accepting = order.filter((state) => this.#states[state]!.ids.length > 0);
    const acceptOffsets = new Int32Array(accepting.length + 1);
    for (const [k, state] of accepting.entries()) {
      acceptOffsets[k + 1] = acceptOffsets[k]! + this.#states[state]!.ids.length;
    }
    const acceptIds = Int32Array.from(accepting.flatMap((state) => this.#states[state]!.ids));
    const dead = this.#rows.findIndex((row, state) => row.every((next) => next === state));
    return {
      table,
      width,
      starts: starts.map((state) => rowOf[state]!),
      acceptFrom: (order.length - accepting.length) * width,
      acceptIds,
      acceptOffsets,
      dead: dead < 0 ? -1 : rowOf[dead]!,
    };
  }
}

/** The sorted union of two sorted lists, without duplicates. */
function union(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}
