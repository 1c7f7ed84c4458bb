import { Alphabet } from './alphabet.ts';
import { CharSets } from './charset.ts';
import { type Dfa, determinize, type Limits } from './determinize.ts';
import { backward, matchesEmpty, type Nfa } from './nfa.ts';
import { Partitions } from './partition.ts';
import { PatternError, parsePattern } from './program.ts';

/** What one automaton of user patterns may need; a larger one is split, or its pattern refused. */
const LIMITS: Limits = { states: 3_000, work: 1_000_000 };
/** Most automata that read a text; four of them take some four nanoseconds a character. */
const MAX_PASSES = 16;

const TOO_COMPLEX = 'is too complex: it would need too many states; use fewer or smaller repeat counts';

export interface Spec {
  /** The whole of what is looked for, in RE2 syntax. */
  readonly pattern: string;
  /** A cheaper pattern that every match begins with; the pattern itself when left out. */
  readonly head?: string;
  /** What every match begins with and is told apart from the rest of it; nothing when left out. */
  readonly context?: string;
}

/** A spec that was refused, by its place in the list; -1 when they are too complex together. */
export interface SpecFault {
  readonly index: number;
  readonly message: string;
}

export interface Automata {
  readonly alphabet: Alphabet;
  /** Read backward; each marks where the heads of some of the specs start, and together they cover all. */
  readonly heads: readonly Dfa[];
  /** Spec → reads forward from the start of a match to its end. */
  readonly bodies: readonly Dfa[];
  /** Spec → reads forward to the end of its context; only where there is one. */
  readonly contexts: readonly (Dfa | undefined)[];
}

export type Built =
  | { readonly ok: true; readonly automata: Automata }
  | { readonly ok: false; readonly faults: readonly SpecFault[] };

interface Parsed {
  readonly head: Nfa;
  readonly body: Nfa;
  readonly context: Nfa | undefined;
}

/** Builds the automata of all specs, or tells all that is wrong with them. */
export function buildAutomata(specs: readonly Spec[], limits: Limits = LIMITS): Built {
  const faults: SpecFault[] = [];
  const sets = new CharSets();
  const parsed: Parsed[] = [];
  for (const [index, spec] of specs.entries()) {
    try {
      parsed.push(parse(spec, index, sets));
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      faults.push({ index, message: error.message });
    }
  }
  if (faults.length > 0) return { ok: false, faults };
  try {
    return determinizeAll(parsed, new Alphabet(sets), limits);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    return { ok: false, faults: [{ index: -1, message: error.message }] };
  }
}

function parse({ pattern, head, context }: Spec, index: number, sets: CharSets): Parsed {
  const body = parsePattern(pattern, index, sets);
  if (matchesEmpty(body)) throw new PatternError('matches the empty string');
  return {
    body,
    head: head === undefined ? body : parsePattern(head, index, sets),
    context: context === undefined ? undefined : parsePattern(context, index, sets),
  };
}

function determinizeAll(parsed: readonly Parsed[], alphabet: Alphabet, limits: Limits): Built {
  const faults: SpecFault[] = [];
  const partitions = new Partitions(alphabet);
  const forward = (nfa: Nfa, index: number): Dfa | undefined => {
    const dfa = determinize(nfa, partitions, false, limits);
    if (dfa === undefined) faults.push({ index, message: TOO_COMPLEX });
    return dfa;
  };
  const bodies = parsed.map(({ body }, index) => forward(body, index)).filter((dfa) => dfa !== undefined);
  const contexts = parsed.map(({ context }, index) => (context === undefined ? undefined : forward(context, index)));
  if (faults.length > 0) return { ok: false, faults };
  const heads: Dfa[] = [];
  /** One automaton for all of `ids` if it stays small enough, else one for each half. */
  const join = (ids: readonly number[]): void => {
    if (heads.length > MAX_PASSES) return;
    const nfas = ids.map((id) => parsed[id]!.head);
    const joined = determinize(backward(nfas, ids), partitions, true, limits);
    if (joined !== undefined) heads.push(joined);
    else if (ids.length === 1) faults.push({ index: ids[0]!, message: TOO_COMPLEX });
    else {
      join(ids.slice(0, ids.length >> 1));
      join(ids.slice(ids.length >> 1));
    }
  };
  if (parsed.length > 0) join([...parsed.keys()]);
  if (heads.length > MAX_PASSES) {
    const message = `are too complex together: they need more than ${MAX_PASSES} automata; use fewer or simpler ones`;
    faults.push({ index: -1, message });
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, automata: { alphabet, heads, bodies, contexts } };
}
