import type { Config } from './config.ts';
import { URL_SEPARATOR } from './kinds.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';

const MASK = '***';
const SECRET_PARAMETER = /pass|pwd|secret|token|key|auth|credential/i;

/** A configuration without secrets, keyed like a configuration file. */
export interface ShownConfig {
  readonly [key: string]: unknown;
}

/**
 * The configuration with secrets masked: a secret is `***`, or empty if not set; in a URL, only the password is masked
 * (or a token in the user name or in a parameter).
 */
export function redact(config: Config): ShownConfig {
  const shown: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const value = masked(setting, settingValue(config, setting));
    const [section, name] = setting.path.split('.');
    if (name === undefined) shown[section!] = value;
    else shown[section!] = { ...(shown[section!] as object | undefined), [name]: value };
  }
  return shown;
}

/** The value of one setting. */
export function settingValue(config: Config, setting: Setting): unknown {
  return setting.keys.reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>>)[key], config);
}

function masked(setting: Setting, value: unknown): unknown {
  if (setting.secret === undefined || value === '') return value;
  if (setting.secret === 'fields-named-secret') return withoutSecrets(value);
  return setting.secret === 'url-password' ? maskUrls(String(value)) : MASK;
}

/** The value with every `secret` field masked, at any depth. */
function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, key === 'secret' ? MASK : withoutSecrets(inner)]);
  return Object.fromEntries(entries);
}

function maskUrls(value: string): string {
  return value.split(URL_SEPARATOR).map(maskUrl).join(',');
}

function maskUrl(value: string): string {
  if (!URL.canParse(value)) return maskHosts(value);
  const url = new URL(value);
  if (url.password !== '') url.password = MASK;
  else if (url.username !== '') url.username = MASK;
  for (const name of [...url.searchParams.keys()]) {
    if (SECRET_PARAMETER.test(name)) url.searchParams.set(name, MASK);
  }
  return url.href;
}

/** A URL with several hosts, which `URL` cannot parse. */
function maskHosts(value: string): string {
  const [, scheme, user, password, rest] = /^([a-z+]+:\/\/)([^:@/]*)(?::([^@/]*))?@([^@]*)$/i.exec(value) ?? [];
  if (scheme !== undefined) return `${scheme}${password === undefined ? MASK : `${user}:${MASK}`}@${rest}`;
  return /^[a-z+]+:\/\/[\w.,:[\]-]+\/[\w./-]*$/i.test(value) ? value : MASK;
}
