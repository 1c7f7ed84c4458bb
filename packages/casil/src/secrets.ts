import { type Automata, buildAutomata } from './automaton/build.ts';
import type { Limits } from './automaton/determinize.ts';
import { type MatchSink, Searcher } from './automaton/searcher.ts';
import { isSample } from './plausibility.ts';
import { CLOUD_RULES } from './rules/cloud.ts';
import { PLATFORM_RULES } from './rules/platforms.ts';
import type { SecretRule } from './rules/rule.ts';
import { SHAPE_RULES } from './rules/shapes.ts';

/** Every secret that is told by its shape. A new one is one more line in one of the tables. */
export const SECRET_RULES: readonly SecretRule[] = [...CLOUD_RULES, ...PLATFORM_RULES, ...SHAPE_RULES];

/**
 * Receives a secret: the rule that found it and its part of the text, `end` exclusive. Answers whether to go on.
 */
export type OnSecret = (rule: SecretRule, start: number, end: number) => boolean;

/** Room for all heads in one automaton, so that a text is gone through once. */
const LIMITS: Limits = { states: 12_000, work: 10_000_000 };
/** No rule matches a shorter text. */
const MIN_LENGTH = 8;

/** Finds secrets by {@link SECRET_RULES} in a text, in time linear in it. */
export class SecretDetector implements MatchSink {
  readonly #searcher: Searcher;
  /** The text that is searched and who is told; kept here so that a search allocates nothing. */
  #text = '';
  #onSecret: OnSecret = ignore;

  /** @param automata of {@link buildSecretAutomata} */
  constructor(automata: Automata) {
    this.#searcher = new Searcher(automata);
  }

  /** Reports the secrets in `text` up to the index `length`. */
  detect(text: string, length: number, onSecret: OnSecret): void {
    if (length < MIN_LENGTH) return;
    this.#text = text;
    this.#onSecret = onSecret;
    this.#searcher.search(text, length, this);
    // A detector lives as long as the process; the text must not.
    this.#text = '';
    this.#onSecret = ignore;
  }

  /** @internal */
  admits(index: number, start: number): boolean {
    return SECRET_RULES[index]!.touching === true || start === 0 || !isAlphanumeric(this.#text.charCodeAt(start - 1));
  }

  /** @internal */
  match(index: number, from: number, end: number, sure: boolean): boolean {
    const rule = SECRET_RULES[index]!;
    const to = sure ? end - (rule.tail ?? 0) : end;
    // A text that was made to use up the steps counts as a secret: it must not hide one.
    if (sure && !isGenuine(rule, this.#text, from, to)) return true;
    return this.#onSecret(rule, from, to);
  }
}

/** Builds what a {@link SecretDetector} runs on; it takes a tenth of a second and more. */
export function buildSecretAutomata(): Automata {
  const built = buildAutomata(
    SECRET_RULES.map(({ head, lead, body }) => ({
      head,
      pattern: `(?:${head})${lead ?? ''}(?:${body})`,
      ...(lead === undefined ? {} : { context: `(?:${head})${lead}` }),
    })),
    LIMITS,
  );
  if (!built.ok) throw new Error(built.faults.map(({ index, message }) => `rule ${index} ${message}`).join('; '));
  return built.automata;
}

let shared: SecretDetector | undefined;

/** The one detector of the process: the rules are constant. Built here and now when nobody has needed it before. */
export function secretDetector(): SecretDetector {
  shared ??= new SecretDetector(buildSecretAutomata());
  return shared;
}

/** Whether {@link secretDetector} has it ready. */
export function hasSecretDetector(): boolean {
  return shared !== undefined;
}

/** Makes the detector of the process from automata that another thread has built. */
export function installSecretDetector(automata: Automata): void {
  shared ??= new SecretDetector(automata);
}

function isGenuine({ check }: SecretRule, text: string, from: number, to: number): boolean {
  const secret = text.slice(from, to);
  return !isSample(secret) && (check === undefined || check(secret, { text, from, to }));
}

function isAlphanumeric(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122);
}

function ignore(): boolean {
  return false;
}
