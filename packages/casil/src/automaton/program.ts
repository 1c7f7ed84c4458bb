import { RE2JS } from 're2js';
import type { CharSet, CharSets } from './charset.ts';
import { LAST_CODE_POINT } from './charset.ts';
import type { Edge, Nfa } from './nfa.ts';

/** Maximum length of a pattern, in UTF-16 units. */
const MAX_PATTERN_LENGTH = 512;
/** Maximum nodes of one pattern's automaton; a counted repetition copies its body for every count. */
const MAX_NODES = 2_000;

/** A refused pattern; the message gives the reason in a sentence. */
export class PatternError extends Error {}

/** The part of a compiled re2js program that is used here; its layout is that of Go's `regexp/syntax`. */
interface Program {
  readonly start: number;
  readonly inst: readonly Instruction[];
}

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  readonly runes: ArrayLike<number>;
  matchRune(codePoint: number): boolean;
}

const OP = {
  ALT: 1,
  ALT_MATCH: 2,
  CAPTURE: 3,
  WHEN: 4,
  FAIL: 5,
  MATCH: 6,
  NOP: 7,
  RUNE: 8,
  RUNE1: 9,
  ANY: 10,
} as const;
const ANY_BUT_NEWLINE = 11;
const FOLD_CASE = 1;
/** Above the last code point with case. */
const CASED_END = 0x1e944;

/**
 * Parses a pattern in RE2 syntax into an automaton that accepts `id`. re2js does the parsing, so that the syntax, its
 * Unicode tables and its refusals (look-around, back-references) are RE2's; the matching is implemented in this folder.
 * Only this file depends on the layout of a re2js program. Throws {@link PatternError}.
 */
export function parsePattern(pattern: string, id: number, sets: CharSets): Nfa {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new PatternError(`is ${pattern.length} characters long; at most ${MAX_PATTERN_LENGTH} are allowed`);
  }
  const program = compile(pattern);
  if (program.inst.length > MAX_NODES) {
    throw new PatternError(`is too large (${program.inst.length} nodes of ${MAX_NODES}); use smaller repeat counts`);
  }
  const accepts = new Map<number, number>();
  const edges = program.inst.map((instruction, node): Edge[] => {
    const { op, out, arg } = instruction;
    switch (op) {
      case OP.ALT:
      case OP.ALT_MATCH:
        return [free(out), free(arg)];
      case OP.CAPTURE:
      case OP.NOP:
        return [free(out)];
      case OP.WHEN:
        return [{ type: 'when', arg, to: out }];
      case OP.MATCH:
        accepts.set(node, id);
        return [];
      case OP.FAIL:
        return [];
      default:
        return [{ type: 'take', arg: sets.intern(charSet(instruction)), to: out }];
    }
  });
  return { edges, starts: [program.start], accepts, backward: false };
}

function compile(pattern: string): Program {
  try {
    return RE2JS.compile(pattern).re2().prog as Program;
  } catch (error) {
    throw new PatternError(`is not a valid RE2 pattern: ${(error as Error).message}`);
  }
}

function free(to: number): Edge {
  return { type: 'free', arg: 0, to };
}

function charSet(instruction: Instruction): CharSet {
  const { op, runes, arg } = instruction;
  if (op === OP.ANY) return [0, LAST_CODE_POINT];
  if (op === ANY_BUT_NEWLINE) return [0, 9, 11, LAST_CODE_POINT];
  if (op !== OP.RUNE && op !== OP.RUNE1) throw new PatternError(`uses a construct that is not supported (${op})`);
  if (runes.length !== 1) return Array.from(runes);
  const rune = runes[0]!;
  return (arg & FOLD_CASE) === 0 ? [rune, rune] : foldedSet(rune, instruction);
}

/** All code points that match `rune` under `(?i)`. */
function foldedSet(rune: number, instruction: Instruction): CharSet {
  const set: number[] = [];
  const add = (codePoint: number): void => {
    if (instruction.matchRune(codePoint)) set.push(codePoint, codePoint);
  };
  if (rune < 128) {
    for (let codePoint = 0; codePoint < 128; codePoint++) add(codePoint);
    // The only non-ASCII characters that fold to ASCII: long s and the Kelvin sign.
    add(0x17f);
    add(0x212a);
  } else {
    for (let codePoint = 0; codePoint < CASED_END; codePoint++) add(codePoint);
  }
  return set;
}
