import { Alphabet, type Classes } from './alphabet.ts';
import { CharSets } from './charset.ts';
import { type Dfa, determinize, type Limits } from './determinize.ts';
import { backward, matchesEmpty, type Nfa } from './nfa.ts';
import { Partitions } from './partition.ts';
import { PatternError, parsePattern } from './program.ts';

/** What one automaton of user patterns may need; a larger one is split, or its pattern refused. */
const LIMITS: Limits = { states: 3_000, work: 1_000_000 };
/** Most automata that read a text; four of them take some four nanoseconds a character. */
const MAX_AUTOMATA = 16;
/** In place of an index: the specs are at fault together. */
const TOGETHER = -1;

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

/** Plain data: built in one thread, it can be sent to another. */
export interface Automata {
  readonly classes: Classes;
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
  readonly index: number;
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
  try {
    const automata = determinizeAll(parsed, new Alphabet(sets), limits, faults);
    if (faults.length === 0) return { ok: true, automata };
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    faults.push({ index: TOGETHER, message: error.message });
  }
  return { ok: false, faults: faults.sort((a, b) => a.index - b.index) };
}

function parse({ pattern, head, context }: Spec, index: number, sets: CharSets): Parsed {
  const body = parsePattern(pattern, index, sets);
  if (matchesEmpty(body)) throw new PatternError('matches the empty string');
  return {
    index,
    body,
    head: head === undefined ? body : parsePattern(head, index, sets),
    context: context === undefined ? undefined : parsePattern(context, index, sets),
  };
}

/** Adds what is wrong to `faults`; what it returns is only complete when nothing is. */
function determinizeAll(parsed: readonly Parsed[], alphabet: Alphabet, limits: Limits, faults: SpecFault[]): Automata {
  const partitions = new Partitions(alphabet);
  const forward = (nfa: Nfa, index: number): Dfa | undefined => {
    const dfa = determinize(nfa, partitions, false, limits);
    if (dfa === undefined) faults.push({ index, message: TOO_COMPLEX });
    return dfa;
  };
  const bodies: Dfa[] = [];
  const contexts: (Dfa | undefined)[] = [];
  const sound: Parsed[] = [];
  for (const spec of parsed) {
    const body = forward(spec.body, spec.index);
    if (body === undefined) continue;
    bodies.push(body);
    contexts.push(spec.context === undefined ? undefined : forward(spec.context, spec.index));
    sound.push(spec);
  }
  const heads: Dfa[] = [];
  /** One automaton for all of `specs` if it stays small enough, else one for each half. */
  const join = (specs: readonly Parsed[]): void => {
    if (heads.length > MAX_AUTOMATA) return;
    const nfa = backward(
      specs.map(({ head }) => head),
      specs.map(({ index }) => index),
    );
    const joined = determinize(nfa, partitions, true, limits);
    if (joined !== undefined) heads.push(joined);
    else if (specs.length === 1) faults.push({ index: specs[0]!.index, message: TOO_COMPLEX });
    else {
      join(specs.slice(0, specs.length >> 1));
      join(specs.slice(specs.length >> 1));
    }
  };
  if (sound.length > 0) join(sound);
  if (heads.length > MAX_AUTOMATA) {
    const message = `are too complex together: they need more than ${MAX_AUTOMATA} automata; use fewer or simpler ones`;
    faults.push({ index: TOGETHER, message });
  }
  return { classes: alphabet.classes, heads, bodies, contexts };
}

/** The memory that the tables of the automata take, in bytes. */
export function sizeOf({ classes, heads, bodies, contexts }: Automata): number {
  let bytes = classes.bmp.byteLength;
  for (const dfa of [...heads, ...bodies, ...contexts]) bytes += dfa === undefined ? 0 : dfa.table.byteLength;
  return bytes;
}

/** The buffers behind the automata, for handing them to another thread without a copy. */
export function buffersOf({ classes, heads, bodies, contexts }: Automata): ArrayBuffer[] {
  const all = [...heads, ...bodies, ...contexts].filter((dfa) => dfa !== undefined);
  const tables = all.flatMap(({ table, acceptIds, acceptOffsets }) => [table, acceptIds, acceptOffsets]);
  return [...new Set([classes.bmp, ...tables].map(({ buffer }) => buffer))];
}
