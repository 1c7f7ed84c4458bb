import type { Alphabet } from './alphabet.ts';
import { type Edge, holds, type Kind, type Nfa } from './nfa.ts';
import type { Partitions } from './partition.ts';

/** The targets of a set of threads after one character, for every class of one kind. */
export class Fan {
  /** Patterns that the threads have matched before this character. */
  readonly ids: readonly number[];
  /** Index of a class within its kind → a label, equal for classes that lead to the same nodes. */
  readonly labels: readonly number[];
  readonly #takes: readonly Edge[];
  /** Label → a class with that label. */
  readonly #examples: readonly number[];
  readonly #steps: (readonly number[] | undefined)[];
  readonly #alphabet: Alphabet;
  readonly #ordered: boolean;

  /** @param ordered keeps the order of priority; otherwise the nodes are sorted */
  constructor({ takes, ids }: Closure, kind: Kind, partitions: Partitions, ordered: boolean) {
    this.ids = ids;
    this.#takes = takes;
    this.#alphabet = partitions.alphabet;
    this.#ordered = ordered;
    const { labels, examples } = partitions.of(kind, new Set(takes.map(({ arg }) => arg)));
    this.labels = labels;
    this.#examples = examples;
    this.#steps = new Array(examples.length);
  }

  /** The nodes reached by a class with this label. */
  step(label: number): readonly number[] {
    const known = this.#steps[label];
    if (known !== undefined) return known;
    const { members } = this.#alphabet;
    const id = this.#examples[label]!;
    const nodes = new Set<number>();
    for (const { arg, to } of this.#takes) if (members[arg]![id] === 1) nodes.add(to);
    const step = [...nodes];
    if (!this.#ordered) step.sort((a, b) => a - b);
    this.#steps[label] = step;
    return step;
  }
}

/** The nodes reachable without reading a character. */
export interface Closure {
  readonly takes: readonly Edge[];
  readonly ids: readonly number[];
  /** The number of visited nodes. */
  readonly work: number;
}

/**
 * Follows the edges of `nodes` that read nothing, between characters of the kinds `left` and `right`, in order of
 * priority. With `cut` it stops at a match and drops threads of lower priority, which makes a match leftmost-first.
 */
export function closureOf(nfa: Nfa, nodes: ArrayLike<number>, left: Kind, right: Kind, cut: boolean): Closure {
  const seen = new Set<number>();
  const takes: Edge[] = [];
  const ids: number[] = [];
  // Filling the stack in reverse preserves the order.
  const stack = Array.from(nodes).reverse();
  while (stack.length > 0) {
    const node = stack.pop()!;
    if (seen.has(node)) continue;
    seen.add(node);
    const id = nfa.accepts.get(node);
    if (id !== undefined) {
      ids.push(id);
      if (cut) break;
    }
    const outgoing = nfa.edges[node]!;
    for (let i = outgoing.length - 1; i >= 0; i--) {
      const edge = outgoing[i]!;
      if (edge.type === 'take') takes.push(edge);
      else if (edge.type === 'free' || holds(edge.arg, left, right)) stack.push(edge.to);
    }
  }
  return { takes, ids: ids.sort((a, b) => a - b), work: seen.size };
}
