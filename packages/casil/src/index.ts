export {
  Casil,
  type CasilDecision,
  type CasilOptions,
  casil,
  type Inspection,
  type Passed,
} from './casil.ts';
export type { Examined } from './examination.ts';
export { type Explanation, explain, type Match } from './explain.ts';
export { casilMetadata, type Inspected, type Verdict } from './inspect.ts';
export { EVERY_TENANT, type ReloadOptions, TENANT_LIMITS, type TenantLimits } from './policies.ts';
export { type Compiled, compilePolicy, type Policy } from './policy.ts';
export { DEFAULT_CASIL_SETTINGS, type PolicyFault } from './settings.ts';
export type { DecisionCount, RoomDecisionCount } from './tally.ts';
