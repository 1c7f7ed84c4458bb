import { RE2JS } from 're2js';
import type { StepBudget } from './schema-budget.ts';

/** Longest pattern. */
const MAX_PATTERN = 512;
/** Instructions that the patterns of one schema may have together: compiling them all takes some 20 ms. */
const MAX_PROGRAM = 4_000;
/** Instructions that one character costs a step for. */
const PROGRAM_PER_STEP = 4;

/** Whether a text matches anywhere; the time is linear in its length. */
export type TextTest = (text: string, budget: StepBudget) => boolean;

/** The patterns of one schema: each is compiled once, and all together are bounded. */
export class Patterns {
  private readonly known: Map<string, TextTest> = new Map();
  private size = 0;

  /** Throws an Error whose message ends a sentence for a pattern that is none of RE2's, or too large. */
  compile(pattern: string): TextTest {
    const known = this.known.get(pattern);
    if (known !== undefined) return known;
    if (pattern.length > MAX_PATTERN) throw new Error(`a pattern is longer than ${MAX_PATTERN} characters`);
    const regExp = RE2JS.compile(pattern);
    const size = regExp.programSize();
    this.size += size;
    if (this.size > MAX_PROGRAM) throw new Error('its patterns are too large together; repeat less, or use fewer');
    const cost = Math.ceil(size / PROGRAM_PER_STEP);
    const test: TextTest = (text, budget) => {
      budget.spend(text.length * cost);
      return regExp.matcher(text).find();
    };
    this.known.set(pattern, test);
    return test;
  }
}
