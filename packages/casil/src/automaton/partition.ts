import type { Alphabet } from './alphabet.ts';
import type { Kind } from './nfa.ts';

/** The classes of a kind; those with the same label are in the same ones of some sets. */
export interface Partition {
  /** By the place of a class in {@link Alphabet.classesByKind}. */
  readonly labels: readonly number[];
  /** Label → one of its classes. */
  readonly examples: readonly number[];
}

/** The partitions of an alphabet, each made once. Only needed while automata are built. */
export class Partitions {
  readonly alphabet: Alphabet;
  readonly #known = new Map<string, Partition>();

  constructor(alphabet: Alphabet) {
    this.alphabet = alphabet;
  }

  /** Parts the classes of a kind by the sets, named by their numbers, that hold them. */
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
