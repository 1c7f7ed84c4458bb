import type { Alphabet } from './alphabet.ts';
import type { Kind } from './nfa.ts';

/** The classes of a kind, partitioned: classes with the same label belong to the same sets. */
export interface Partition {
  /** By the index of a class in {@link Alphabet.classesByKind}. */
  readonly labels: readonly number[];
  /** Label → one of its classes. */
  readonly examples: readonly number[];
}

/** The partitions of an alphabet, cached. Only needed while automata are built. */
export class Partitions {
  readonly alphabet: Alphabet;
  readonly #known = new Map<string, Partition>();

  constructor(alphabet: Alphabet) {
    this.alphabet = alphabet;
  }

  /** Partitions the classes of a kind by the numbers of the sets that contain them. */
  of(kind: Kind, sets: ReadonlySet<number>): Partition {
    const key = `${kind};${[...sets].join()}`;
    let partition = this.#known.get(key);
    if (partition === undefined) {
      partition = this.#part(this.alphabet.classesByKind[kind]!, sets);
      this.#known.set(key, partition);
    }
    return partition;
  }

  #part(classes: readonly number[], sets: ReadonlySet<number>): Partition {
    const { members } = this.alphabet;
    const labelOf = new Map<string, number>();
    const examples: number[] = [];
    const labels = classes.map((id) => {
      let signature = '';
      for (const set of sets) signature += members[set]![id];
      let label = labelOf.get(signature);
      if (label === undefined) {
        label = examples.length;
        labelOf.set(signature, label);
        examples.push(id);
      }
      return label;
    });
    return { labels, examples };
  }
}
