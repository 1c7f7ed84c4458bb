import type { CasilSettings } from '@arqonbus/protocol';
import { buildAutomata } from './automaton/build.ts';
import { Searcher } from './automaton/searcher.ts';
import { Fields } from './fields.ts';
import { compilePaths, type RedactionPaths } from './paths.ts';
import { compilePlaces, compileScope, type Places } from './scope.ts';
import { secretDetector } from './secrets.ts';
import { checkSettings, MAX_LIST_LENGTH, type PolicyFault, quoted } from './settings.ts';
import { TextInspector } from './text.ts';

export type { PolicyFault } from './settings.ts';

/** Settings made ready for inspecting. Two policies of the same settings inspect alike. */
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
 * Checks and compiles the settings, all of them: either everything is right, or every fault is listed. With `enabled`
 * the detector of secrets is made ready too, so that no message waits for it.
 */
export function compilePolicy(settings: Readonly<CasilSettings>): Compiled {
  const faults = checkSettings(settings);
  const searcher = compilePatterns(settings, faults);
  if (faults.length > 0) return { ok: false, faults };
  const kept = Object.freeze(structuredClone(settings));
  const paths = compilePaths(kept.redaction_paths);
  if (kept.enabled) secretDetector();
  return {
    ok: true,
    policy: {
      settings: kept,
      scope: compileScope(kept.scope_include, kept.scope_exclude),
      neverLog: compilePlaces(kept.never_log_payload_for),
      paths,
      fields: new Fields(paths),
      text: new TextInspector(searcher),
    },
  };
}

/** The searcher for the policy's patterns; undefined without patterns or when they are at fault. */
function compilePatterns(settings: Readonly<CasilSettings>, faults: PolicyFault[]): Searcher | undefined {
  const setting = 'redaction_patterns';
  const patterns = settings[setting];
  if (!isListOfPatterns(patterns) || patterns.length === 0) return undefined;
  const built = buildAutomata(patterns.map((pattern) => ({ pattern })));
  if (built.ok) return new Searcher(built.automata);
  for (const { index, message } of built.faults) {
    const entry = index < 0 ? '' : `[${index}]${quoted(patterns[index])}`;
    faults.push({ setting, message: `${setting}${entry} ${message}.` });
  }
  return undefined;
}

/** Whether there is anything to compile; what is no list of strings, or too long a one, is a fault already. */
function isListOfPatterns(patterns: unknown): boolean {
  return (
    Array.isArray(patterns) &&
    patterns.length <= MAX_LIST_LENGTH &&
    patterns.every((pattern) => typeof pattern === 'string')
  );
}
