import { type Automata, buildAutomata } from './automaton/build.ts';
import type { Limits } from './automaton/determinize.ts';
import { type MatchSink, Searcher } from './automaton/searcher.ts';
import { isSample } from './plausibility.ts';
import { CLOUD_RULES } from './rules/cloud.ts';
import { PLATFORM_RULES } from './rules/platforms.ts';
import type { SecretRule } from './rules/rule.ts';
import { SHAPE_RULES } from './rules/shapes.ts';

/** All secret rules. Add new ones to one of the tables. */
export const SECRET_RULES: readonly SecretRule[] = [...CLOUD_RULES, ...PLATFORM_RULES, ...SHAPE_RULES];

/** Called with a secret: the rule and its part of the text, `end` exclusive. Returns whether to continue. */
export type OnSecret = (rule: SecretRule, start: number, end: number) => boolean;

/** Large enough for all heads in one automaton, so that a text is read once. */
const LIMITS: Limits = { states: 12_000, work: 10_000_000 };
/** No rule matches a shorter text. */
const MIN_LENGTH = 8;

/** Finds secrets by {@link SECRET_RULES} in a text, in linear time. */
export class SecretDetector implements MatchSink {
  readonly #searcher: Searcher;
  /** The current text and callback; stored here so that a search allocates nothing. */
  #text = '';
  #onSecret: OnSecret = ignore;

  /** @param automata from {@link buildSecretAutomata} */
  constructor(automata: Automata) {
    this.#searcher = new Searcher(automata);
  }

  /** Reports the secrets in `text` up to the index `length`. */
  detect(text: string, length: number, onSecret: OnSecret): void {
    if (length < MIN_LENGTH) return;
    this.#text = text;
    this.#onSecret = onSecret;
    this.#searcher.search(text, length, this);
    // A detector lives as long as the process and must not retain the text.
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
    // A text that exhausts the step limit counts as a secret, because it might hide one.
    if (sure && !isGenuine(rule, this.#text, from, to)) return true;
    return this.#onSecret(rule, from, to);
  }
}

/** Builds the automata of a {@link SecretDetector}, which takes a tenth of a second or more. */
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

/** The shared detector of the process: the rules are constant. Built synchronously on first use. */
export function secretDetector(): SecretDetector {
  shared ??= new SecretDetector(buildSecretAutomata());
  return shared;
}

/** Whether {@link secretDetector} is already built. */
export function hasSecretDetector(): boolean {
  return shared !== undefined;
}

/** Creates the shared detector from automata built in another thread. */
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
