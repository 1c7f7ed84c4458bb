import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Retention } from '../engine.ts';

/** A Lua script and the digest used to call it. */
export interface Script {
  readonly name: string;
  readonly lua: string;
  readonly sha: string;
}

/** Reads `NAME.lua` next to this file, prefixed with the scripts it depends on. */
function script(name: string, ...shared: readonly string[]): Script {
  const parts = [...shared, name].map((part) => readFileSync(new URL(`./${part}.lua`, import.meta.url), 'utf8'));
  const lua = parts.join('\n');
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

export const APPEND: Script = script('publish', 'streams');
export const STATE: Script = script('state', 'streams');
export const READ: Script = script('read', 'streams');
export const RETAIN: Script = script('retain', 'streams');
export const DROP: Script = script('drop');
export const RENEW: Script = script('renew', 'streams');
export const CLAIM: Script = script('claim');
export const COUNT: Script = script('count');
export const REST: Script = script('rest', 'streams');
export const USAGE: Script = script('usage', 'streams');

export const SET: Script = script('set', 'keys');
export const DELETE: Script = script('delete', 'keys');
export const SWEEP: Script = script('sweep', 'keys');
export const FETCH: Script = script('fetch');
export const DUE: Script = script('due');

export const BEAT: Script = script('beat');
export const BURY: Script = script('bury');

export const BROKER_SCRIPTS: readonly Script[] = [APPEND, STATE, READ, RETAIN, DROP, RENEW, CLAIM, COUNT, REST, USAGE];
export const STORE_SCRIPTS: readonly Script[] = [SET, DELETE, SWEEP, FETCH, DUE];
export const PRESENCE_SCRIPTS: readonly Script[] = [BEAT, BURY];

/** The longest time passed to scripts, in milliseconds: 300 years. Lua formats numbers with 14 digits. */
export const LONGEST_MS = 1e13;

/** A time for scripts: whole milliseconds, at least one. */
export function milliseconds(time: number): number {
  return Math.min(LONGEST_MS, Math.max(1, Math.ceil(time)));
}

/** Any number of bytes. */
const ANY = -1;

/** A stream's limits for scripts: size, time to live, bytes, whether the last event is always kept. */
export function limitsOf({ size, ttlMs, bytes = ANY, keepLast = false }: Retention): [number, number, number, 0 | 1] {
  const most = Number.isFinite(bytes) ? bytes : ANY;
  return keepLast ? [Math.max(1, size), milliseconds(ttlMs), most, 1] : [size, milliseconds(ttlMs), most, 0];
}
