import { Alphabet, type Classes } from './alphabet.ts';
import { CharSets } from './charset.ts';
import { type Dfa, determinize, type Limits } from './determinize.ts';
import { backward, matchesEmpty, type Nfa } from './nfa.ts';
import { Partitions } from './partition.ts';
import { PatternError, parsePattern } from './program.ts';

/** Limits of one automaton of user patterns; a larger one is split, or its pattern refused. */
const LIMITS: Limits = { states: 3_000, work: 1_000_000 };
/** Maximum automata per text; four of them take about four nanoseconds per character. */
const MAX_AUTOMATA = 16;
/** Used as an index if the specs together are at fault. */
const TOGETHER = -1;

const TOO_COMPLEX = 'is too complex: it would need too many states; use fewer or smaller repeat counts';

export interface Spec {
  /** The whole pattern, in RE2 syntax. */
  readonly pattern: string;
  /** A cheaper pattern that matches the start of every match; default: the pattern itself. */
  readonly head?: string;
  /** A pattern for the context at the start of every match, separate from the match itself; default: none. */
  readonly context?: string;
}

/** A refused spec, by its index; -1 if the specs together are too complex. */
export interface SpecFault {
  readonly index: number;
  readonly message: string;
}

/** Plain data, so that it can be sent from one thread to another. */
export interface Automata {
  readonly classes: Classes;
  /** Backward automata; each marks where the heads of some specs start, together those of all specs. */
  readonly heads: readonly Dfa[];
  /** Spec → forward automaton from the start of a match to its end. */
  readonly bodies: readonly Dfa[];
  /** Spec → forward automaton to the end of its context, if it has one. */
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

/** Builds the automata of all specs, or returns all errors. */
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

/** Adds errors to `faults`; the result is only complete without errors. */
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
  /** One automaton for all of `specs` if it is small enough, else one for each half. */
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

/** The memory used by the tables of the automata, in bytes. */
export function sizeOf({ classes, heads, bodies, contexts }: Automata): number {
  let bytes = classes.bmp.byteLength;
  for (const dfa of [...heads, ...bodies, ...contexts]) bytes += dfa === undefined ? 0 : dfa.table.byteLength;
  return bytes;
}

/** The buffers of the automata, to transfer them to another thread without copying. */
export function buffersOf({ classes, heads, bodies, contexts }: Automata): ArrayBuffer[] {
  const all = [...heads, ...bodies, ...contexts].filter((dfa) => dfa !== undefined);
  const tables = all.flatMap(({ table, acceptIds, acceptOffsets }) => [table, acceptIds, acceptOffsets]);
  return [...new Set([classes.bmp, ...tables].map(({ buffer }) => buffer))];
}
