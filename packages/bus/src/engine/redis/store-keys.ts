import type { KeyValueEntry } from '../engine.ts';
import type { Keys } from './keys.ts';

/**
 * A name as Redis can hold it, exactly: JSON text without its quotes. Different names stay different, lone surrogates
 * (which UTF-8 cannot write) too, and none holds a line break.
 */
export function exact(name: string): string {
  return JSON.stringify(name).slice(1, -1);
}

export function exactText(name: string): string {
  return JSON.parse(`"${name}"`) as string;
}

export interface StoreKeys {
  readonly prefix: string;
  readonly usage: string;
  readonly expiries: string;
  readonly log: string;
  entries(namespace: string): string;
}

/** The keys of one tenant in one space; `keys.lua` says what they hold. */
export function storeKeys(keys: Keys, tenant: string, space: string): StoreKeys {
  const prefix = keys.space(exact(tenant), exact(space));
  return {
    prefix,
    usage: `${prefix}usage`,
    expiries: `${prefix}expiries`,
    log: `${prefix}log`,
    entries: (namespace) => `${prefix}keys:${exact(namespace)}`,
  };
}

/** Reads `VERSION EXPIRES TAG CREATED BYTES OWNER VALUE`. */
export function decodeRecord(key: string, text: string): KeyValueEntry {
  const [version, expires] = text.split(' ', 2).map(Number) as [number, number];
  let end = -1;
  for (let field = 0; field < 6; field += 1) end = text.indexOf(' ', end + 1);
  return { key, value: text.slice(end + 1), version, expiresAt: expires === 0 ? null : expires };
}

/** An owner as records and the usage name it: without a space, and never empty. */
export function ownerName(owner: string): string {
  return `=${exact(owner).replaceAll(' ', '\\u0020')}`;
}
