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
   * By the names of the flags in camelCase, as commander gives them: text, or a value as a file would hold it. What is
   * no flag of a setting is not looked at.
   */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile;
  /** `ARQONBUS_*` variables that are no settings and yet known, such as those of the command-line client. */
  readonly otherVariables?: readonly string[];
  /** Reads the file of a secret; throws when it cannot. */
  readonly readFile?: (path: string) => string;
}

export type Loaded =
  | {
      readonly ok: true;
      /** Frozen to its depths. */
      readonly config: Config;
      readonly warnings: readonly string[];
      /** Where each setting came from, by its path. */
      readonly sources: Readonly<Record<string, Source>>;
    }
  | { readonly ok: false; readonly faults: readonly string[]; readonly warnings: readonly string[] };

/**
 * Makes the configuration of the flags, else the environment, else the file, else the defaults, and checks it: each
 * value, what goes together, and in production what {@link preflight} asks. All faults are told at once, a sentence
 * each, none with a secret in it. Never throws.
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
  // A default stands in for each faulty value; what follows from such a default alone would mislead.
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
  // The type of the table makes sure of this: it has every field of Config, in that field's type.
  return deepFreeze(withDerivedDefaults(target as unknown as Config));
}

/** The defaults that depend on other settings. */
function withDerivedDefaults(config: Config): Config {
  const { server, bus, telemetry, http, storage } = config;
  const burst = bus.rateLimitBurst > 0 ? bus.rateLimitBurst : Math.ceil(bus.rateLimitPerSecond);
  return {
    ...config,
    bus: { ...bus, rateLimitBurst: burst },
    // One speaks the other's protocol.
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

/** What is allowed and yet hardly meant. */
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
