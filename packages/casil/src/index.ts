export { type Explanation, explain } from './explain.ts';
export { casilMetadata, type Inspected, type Verdict } from './inspect.ts';
export { CasilLayer } from './layer.ts';
export { compilePolicy, type Policy } from './policy.ts';
export { DEFAULT_CASIL_SETTINGS } from './settings.ts';
