import { readFileSync } from 'node:fs';
import { ADDRESS_PARTS, withAddresses } from './address-parts.ts';
import type { Config } from './config.ts';
import { type ConfigFile, parseConfigFile } from './config-file.ts';
import { contradictions } from './consistency.ts';
import { faultOf, findGiven, type Places, type Source } from './given.ts';
import { preflight, rehearsal } from './preflight.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';
import { unknownKeys, unknownVariables } from './unknown-names.ts';

export interface LoadInput {
  /**
   * By camelCase flag name, as in commander: text, or a value as in a file. Flags that are not settings are ignored.
   */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile;
  /** Known `ARQONBUS_*` variables that are not settings, such as those of the command-line client. */
  readonly otherVariables?: readonly string[];
  /** Reads the file of a secret; throws if it cannot. */
  readonly readFile?: (path: string) => string;
}

export type Loaded =
  | {
      readonly ok: true;
      /** Deeply frozen. */
      readonly config: Config;
      readonly warnings: readonly string[];
      /** The source of each setting, by path. */
      readonly sources: Readonly<Record<string, Source>>;
    }
  | { readonly ok: false; readonly faults: readonly string[]; readonly warnings: readonly string[] };

/**
 * Builds the configuration from flags, environment, file and defaults, in this order of priority, and validates it:
 * each value, combinations, and in production the rules of {@link preflight}. Reports all errors at once, one sentence
 * each, without secrets. Never throws.
 */
export function loadConfig(input: LoadInput): Loaded {
  const { file, otherVariables = [] } = input;
  const readFile = input.readFile ?? ((path: string) => readFileSync(path, 'utf8'));
  const { env, faults: addressFaults } = withAddresses(input.env ?? {}, readFile);
  const content = file === undefined ? undefined : parseConfigFile(file);
  const places: Places = {
    flags: input.flags ?? {},
    env,
    fileName: file?.path ?? '',
    fileValues: content?.values ?? new Map(),
    readFile,
  };
  const { values, sources, faults, faulty } = readAll(places);
  const config = build(values);
  const strangers = [
    ...unknownVariables(env, [...otherVariables, ...ADDRESS_PARTS]),
    ...unknownKeys(content?.unknown ?? [], places.fileName),
  ];
  const unknownIsFault = config.environment === 'prod';
  // Invalid values are replaced by defaults; errors that only follow from such a default would mislead.
  const consequences = [...contradictions(config), ...preflight(config)].filter(
    (fault) => !faulty.some(({ env: variable }) => fault.includes(variable)),
  );
  const all = [
    ...(content?.faults ?? []),
    ...addressFaults,
    ...faults,
    ...(unknownIsFault ? strangers : []),
    ...consequences,
  ];
  const warnings = [...(unknownIsFault ? [] : strangers), ...remarks(config), ...rehearsal(config)];
  return all.length > 0 ? { ok: false, faults: all, warnings } : { ok: true, config, warnings, sources };
}

interface Readings {
  readonly values: ReadonlyMap<Setting, unknown>;
  readonly sources: Readonly<Record<string, Source>>;
  readonly faults: readonly string[];
  readonly faulty: readonly Setting[];
}

function readAll(places: Places): Readings {
  const values = new Map<Setting, unknown>();
  const sources: Record<string, Source> = {};
  const faults: string[] = [];
  const faulty: Setting[] = [];
  const refuse = (setting: Setting, fault: string): void => {
    faults.push(fault);
    faulty.push(setting);
  };
  for (const setting of SETTINGS) {
    values.set(setting, setting.default);
    sources[setting.path] = { from: 'default', name: 'default' };
    const given = findGiven(setting, places);
    if (given === undefined) continue;
    if (typeof given === 'string') {
      refuse(setting, given);
      continue;
    }
    const read = setting.kind.read(given.value);
    if (!read.ok) {
      refuse(setting, faultOf(setting, given));
      continue;
    }
    values.set(setting, read.value);
    sources[setting.path] = given.source;
  }
  return { values, sources, faults, faulty };
}

function build(values: ReadonlyMap<Setting, unknown>): Config {
  const target: Record<string, unknown> = {};
  for (const [{ keys }, value] of values) {
    const [section, name] = keys;
    if (name === undefined) target[section!] = value;
    else target[section!] = { ...(target[section!] as object | undefined), [name]: value };
  }
  // Safe because of the table's type: it has every field of Config, with that field's type.
  return deepFreeze(withDerivedDefaults(target as unknown as Config));
}

/** Defaults that depend on other settings. */
function withDerivedDefaults(config: Config): Config {
  const { server, bus, telemetry, http, storage } = config;
  const burst = bus.rateLimitBurst > 0 ? bus.rateLimitBurst : Math.ceil(bus.rateLimitPerSecond);
  return {
    ...config,
    bus: { ...bus, rateLimitBurst: burst },
    // Both speak the same protocol.
    storage: {
      ...storage,
      redisUrl: storage.redisUrl === '' && storage.backend.startsWith('redis') ? storage.valkeyUrl : storage.redisUrl,
      valkeyUrl:
        storage.valkeyUrl === '' && storage.backend.startsWith('valkey') ? storage.redisUrl : storage.valkeyUrl,
    },
    telemetry: { ...telemetry, host: telemetry.host === '' ? server.host : telemetry.host },
    http: { ...http, host: http.host === '' ? server.host : http.host },
  };
}

/** Settings that are valid but probably unintended. */
function remarks({ server }: Config): string[] {
  if (server.maxBacklogBytes >= server.maxMessageSize) return [];
  return [
    'ARQONBUS_MAX_BACKLOG_BYTES is less than ARQONBUS_MAX_MESSAGE_SIZE: one large message closes those who receive it.',
  ];
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
