import { compilePattern, MAIL_ROOM, WILDCARD } from '@arqonbus/protocol';
import { RULE_FIELDS, type Rule, type RuleField, type RuleSettings } from './rule.ts';

/** The origin of a rule: the configuration, or `op.rules.set`. */
export type RuleSource = 'file' | 'store';

/** A compiled rule. */
export interface CompiledRule {
  readonly rule: Rule;
  readonly from: RuleSource;
  matches(room: string, channel: string): boolean;
  /** Specificity, compared from the left; higher is more specific. */
  readonly rank: readonly number[];
}

/** The merged settings of an address, and the rule behind each field (`history.size` for a part of `history`). */
export interface Merged {
  readonly settled: RuleSettings;
  readonly origins: Readonly<Record<string, CompiledRule>>;
  /** The matching rules, the least specific first. */
  readonly rules: readonly CompiledRule[];
}

/** Compiles rules in order: of two equally specific rules the later one wins. */
export function compileRules(rules: readonly Rule[], from: RuleSource): CompiledRule[] {
  return rules.map((rule) => {
    const [room = '', channel = ''] = rule.match.split(':');
    const isRoom = room === MAIL_ROOM ? isMailRoom : noMailRoom(partOf(room));
    const isChannel = partOf(channel);
    return {
      rule,
      from,
      matches: (roomName, name) => isRoom(roomName) && isChannel(name),
      rank: [...rankOf(room), ...rankOf(channel)],
    };
  });
}

/** Merges the rules that match an address field by field: for each field the most specific rule that sets it wins. */
export function mergeRules(all: readonly CompiledRule[], room: string, channel: string): Merged {
  const rules = all.filter((one) => one.matches(room, channel)).sort((one, other) => compare(one.rank, other.rank));
  const settled: Record<string, unknown> = {};
  const origins: Record<string, CompiledRule> = {};
  for (const compiled of rules) {
    for (const field of RULE_FIELDS) take(settled, origins, field, compiled);
  }
  return { settled: settled as RuleSettings, origins, rules };
}

function take(
  settled: Record<string, unknown>,
  origins: Record<string, CompiledRule>,
  field: RuleField,
  compiled: CompiledRule,
): void {
  const value = compiled.rule[field];
  if (value === undefined) return;
  if (field !== 'history') {
    settled[field] = value;
    origins[field] = compiled;
    return;
  }
  settled.history = { ...(settled.history as object | undefined), ...(value as object) };
  for (const part of Object.keys(value)) origins[`history.${part}`] = compiled;
}

function isMailRoom(name: string): boolean {
  return name === MAIL_ROOM;
}

function noMailRoom(isRoom: (name: string) => boolean): (name: string) => boolean {
  return (name) => name !== MAIL_ROOM && isRoom(name);
}

/** `*` alone matches everything, including the room-wide stream. */
function partOf(pattern: string): (name: string) => boolean {
  return pattern === WILDCARD ? () => true : compilePattern(pattern);
}

/** More literal segments rank higher; if equal, a name comes before `*`, then `>`, and last `*` alone. */
function rankOf(pattern: string): [number, number] {
  if (pattern === WILDCARD) return [0, 0];
  const segments = pattern.split(/[./]/);
  const literal = segments.filter((segment) => segment !== '*' && segment !== '>').length;
  if (literal === segments.length) return [Number.MAX_SAFE_INTEGER, 0];
  return [literal, segments.includes('>') ? 1 : 2];
}

function compare(one: readonly number[], other: readonly number[]): number {
  for (const [index, value] of one.entries()) {
    const difference = value - (other[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
