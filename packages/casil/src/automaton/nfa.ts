/** The kind of a character next to a position, as far as assertions distinguish it. */
export const EDGE = 0 as const;
export const NEWLINE = 1;
export const WORD = 2;
export const OTHER = 3;
export type Kind = typeof EDGE | typeof NEWLINE | typeof WORD | typeof OTHER;
export const KINDS: readonly Kind[] = [EDGE, NEWLINE, WORD, OTHER];

/** Bits of {@link Edge.arg} on a conditional edge; all set bits must hold. The values are those of RE2. */
const BEGIN_LINE = 1;
const END_LINE = 2;
const BEGIN_TEXT = 4;
const END_TEXT = 8;
const WORD_BOUNDARY = 16;
const NO_WORD_BOUNDARY = 32;

type EdgeType = 'free' | 'when' | 'take';

export interface Edge {
  /** `free`: always; `when`: under an assertion; `take`: consumes a character. */
  readonly type: EdgeType;
  /** `when`: the assertion's bits. `take`: the number of the character set. */
  readonly arg: number;
  readonly to: number;
}

/** A nondeterministic automaton. The order of a node's edges is their priority. */
export interface Nfa {
  readonly edges: readonly (readonly Edge[])[];
  readonly starts: readonly number[];
  /** Accepting node → number of the pattern it accepts. */
  readonly accepts: ReadonlyMap<number, number>;
  /** Whether it reads the text from right to left. */
  readonly backward: boolean;
}

/** Whether the assertion `bits` holds between a character of kind `left` and one of kind `right`. */
export function holds(bits: number, left: Kind, right: Kind): boolean {
  if ((bits & BEGIN_TEXT) !== 0 && left !== EDGE) return false;
  if ((bits & END_TEXT) !== 0 && right !== EDGE) return false;
  if ((bits & BEGIN_LINE) !== 0 && left !== EDGE && left !== NEWLINE) return false;
  if ((bits & END_LINE) !== 0 && right !== EDGE && right !== NEWLINE) return false;
  const boundary = (left === WORD) !== (right === WORD);
  if ((bits & WORD_BOUNDARY) !== 0 && !boundary) return false;
  return (bits & NO_WORD_BOUNDARY) === 0 || !boundary;
}

/**
 * Combines `nfas` into one automaton that reads backward: where it accepts `k`, a match of the k-th pattern starts.
 * `ids[k]` is the number it accepts for `nfas[k]`.
 */
export function backward(nfas: readonly Nfa[], ids: readonly number[]): Nfa {
  const edges: Edge[][] = [];
  const starts: number[] = [];
  const accepts = new Map<number, number>();
  for (const [index, nfa] of nfas.entries()) {
    const base = edges.length;
    for (let node = 0; node < nfa.edges.length; node++) edges.push([]);
    for (const [node, outgoing] of nfa.edges.entries()) {
      for (const edge of outgoing) edges[base + edge.to]!.push({ ...edge, to: base + node });
    }
    for (const node of nfa.accepts.keys()) starts.push(base + node);
    for (const node of nfa.starts) accepts.set(base + node, ids[index]!);
  }
  return { edges, starts, accepts, backward: true };
}

/** Whether `nfa` can match without consuming a character, assuming that all assertions hold. */
export function matchesEmpty(nfa: Nfa): boolean {
  const seen = new Set<number>(nfa.starts);
  for (const node of seen) {
    if (nfa.accepts.has(node)) return true;
    for (const edge of nfa.edges[node]!) if (edge.type !== 'take') seen.add(edge.to);
  }
  return false;
}
