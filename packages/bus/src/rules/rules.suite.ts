import type { Retention } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { DEFAULT_OPTIONS } from '../options.ts';
import { ChannelRules, type RuleDefaults } from './rules.ts';

/** No rules, over what channels keep in a test. */
export function noRules(retention: Retention, defaults: Partial<RuleDefaults> = {}): ChannelRules {
  const settled = { ...DEFAULT_OPTIONS, ...defaults, retention };
  return new ChannelRules(createMemoryEngine().store, [], settled, (error) => {
    throw error;
  });
}
