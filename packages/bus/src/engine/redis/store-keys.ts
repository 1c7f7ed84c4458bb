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
  readonly count: string;
  readonly expiries: string;
  readonly log: string;
  entries(namespace: string): string;
}

/** The keys of one tenant in one space; see the store's scripts for what they hold. */
export function storeKeys(keys: Keys, tenant: string, space: string): StoreKeys {
  const prefix = keys.space(exact(tenant), exact(space));
  return {
    prefix,
    count: `${prefix}count`,
    expiries: `${prefix}expiries`,
    log: `${prefix}log`,
    entries: (namespace) => `${prefix}entries:${exact(namespace)}`,
  };
}

/** Reads `VERSION EXPIRES TAG VALUE`. */
export function decodeRecord(key: string, text: string): KeyValueEntry {
  const versionEnd = text.indexOf(' ');
  const expiresEnd = text.indexOf(' ', versionEnd + 1);
  const tagEnd = text.indexOf(' ', expiresEnd + 1);
  const expires = Number(text.slice(versionEnd + 1, expiresEnd));
  return {
    key,
    value: text.slice(tagEnd + 1),
    version: Number(text.slice(0, versionEnd)),
    expiresAt: expires === 0 ? null : expires,
  };
}
