import type { CasilSettings } from '@arqonbus/protocol';
import { type Built, buildAutomata, type SpecFault } from './automaton/build.ts';
import { Searcher } from './automaton/searcher.ts';
import { Fields } from './fields.ts';
import { compilePaths, type RedactionPaths } from './paths.ts';
import { compilePlaces, compileScope, type Places } from './scope.ts';
import { secretDetector } from './secrets.ts';
import { checkSettings, MAX_LIST_LENGTH, type PolicyFault, quoted } from './settings.ts';
import { TextInspector } from './text.ts';

export type { PolicyFault } from './settings.ts';

/** Field names cached by one policy. */
const NAMES_REMEMBERED = 4_096;

/** Compiled settings. Policies with the same settings inspect alike. */
export interface Policy {
  readonly settings: Readonly<CasilSettings>;
  readonly scope: Places;
  readonly neverLog: Places;
  readonly paths: RedactionPaths;
  readonly fields: Fields;
  readonly text: TextInspector;
}

export type Compiled = { ok: true; policy: Policy } | { ok: false; faults: PolicyFault[] };

/**
 * Validates and compiles the settings: returns the policy or every error. With `enabled` the secret detector is built
 * too, so that no message waits for it. Takes from milliseconds to a second.
 *
 * ```ts
 * const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, redaction_patterns: ['EMP-\\d+', '('] });
 * if (!compiled.ok) console.log(compiled.faults[0]?.message); // redaction_patterns[1] ("(") is not a valid RE2 pattern …
 * ```
 */
export function compilePolicy(settings: Readonly<CasilSettings>): Compiled {
  const faults = checkSettings(settings);
  const built = isCompilable(settings) ? buildPatterns(settings.redaction_patterns) : undefined;
  if (built?.ok === false) faults.push(...patternFaults(settings, built.faults));
  if (faults.length > 0) return { ok: false, faults };
  if (settings.enabled) secretDetector();
  return { ok: true, policy: assemblePolicy(settings, textInspector(built)) };
}

/**
 * Creates a policy from valid settings and a text inspector for their patterns.
 *
 * @param namesRemembered maximum cached field names; more make the policy faster and larger
 */
export function assemblePolicy(
  settings: Readonly<CasilSettings>,
  text: TextInspector,
  namesRemembered: number = NAMES_REMEMBERED,
): Policy {
  const kept = Object.freeze(structuredClone(settings));
  const paths = compilePaths(kept.redaction_paths);
  return {
    settings: kept,
    scope: compileScope(kept.scope_include, kept.scope_exclude),
    neverLog: compilePlaces(kept.never_log_payload_for),
    paths,
    fields: new Fields(paths, text, namesRemembered),
    text,
  };
}

/** Builds the automata of patterns, or returns all errors. The expensive part of loading a policy. */
export function buildPatterns(patterns: readonly string[]): Built {
  return buildAutomata(patterns.map((pattern) => ({ pattern })));
}

/** The text inspector for compiled patterns; without patterns, it only finds secrets by format. */
export function textInspector(built: Built | undefined): TextInspector {
  const patterns = built?.ok === true && built.automata.bodies.length > 0 ? new Searcher(built.automata) : undefined;
  return new TextInspector(patterns);
}

/** Whether there are patterns to compile; an invalid or too long list is reported elsewhere. */
export function isCompilable({ redaction_patterns: patterns }: Readonly<CasilSettings>): boolean {
  const given: unknown = patterns;
  if (!Array.isArray(given) || given.length === 0 || given.length > MAX_LIST_LENGTH) return false;
  return given.every((pattern) => typeof pattern === 'string');
}

/** The errors of patterns, with their entries. */
export function patternFaults(settings: Readonly<CasilSettings>, faults: readonly SpecFault[]): PolicyFault[] {
  const setting = 'redaction_patterns';
  return faults.map(({ index, message }) => {
    const entry = index < 0 ? '' : `[${index}]${quoted(settings[setting][index])}`;
    return { setting, message: `${setting}${entry} ${message}.` };
  });
}
