import { BusError, type CasilSettings } from '@arqonbus/protocol';
import { pathFault } from './paths.ts';
import { globFault } from './scope.ts';

/** One error in the settings. */
export interface PolicyFault {
  /** The setting in snake_case. */
  setting: string;
  /** A sentence that names the invalid entry. */
  message: string;
}

/**
 * The policy of a server without configuration. The settings are described in docs/casil.
 *
 * ```ts
 * console.log(DEFAULT_CASIL_SETTINGS.mode, DEFAULT_CASIL_SETTINGS.max_payload_bytes); // monitor 262144
 * ```
 */
export const DEFAULT_CASIL_SETTINGS: Readonly<CasilSettings> = Object.freeze({
  enabled: false,
  mode: 'monitor',
  default_decision: 'allow',
  scope_include: [],
  scope_exclude: [],
  max_inspect_bytes: 65_536,
  max_patterns: 32,
  max_payload_bytes: 262_144,
  block_on_probable_secret: false,
  redaction_paths: ['password', 'token', 'secret'],
  redaction_patterns: [],
  transport_redaction: false,
  never_log_payload_for: [],
  metadata_to_logs: true,
  metadata_to_telemetry: true,
  metadata_to_envelope: false,
});

/** Maximum entries of any list. */
export const MAX_LIST_LENGTH = 1_000;

/** Validates a value: returns the error as the end of a sentence that starts with its name, or undefined. */
type Check = (value: unknown, mostEntries: number) => string | readonly string[] | undefined;

const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');

const oneOf =
  (...choices: readonly string[]): Check =>
  (value) =>
    choices.includes(value as string)
      ? undefined
      : `must be one of ${choices.map((choice) => `"${choice}"`).join(', ')}`;

const integer =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `must be a whole number from ${least} to ${most}`;

/** Validates every entry with `fault`; the messages start with the index of the invalid entry. */
const list =
  (fault: (entry: string) => string | undefined): Check =>
  (value, mostEntries) => {
    if (!Array.isArray(value)) return 'must be a list of strings';
    if (value.length > mostEntries) return `must not have more than ${mostEntries} entries`;
    return value.flatMap((entry: unknown, index) => {
      const wrong = typeof entry === 'string' ? fault(entry) : 'must be a string';
      return wrong === undefined ? [] : [`[${index}]${quoted(entry)} ${wrong}`];
    });
  };

const CHECKS: Readonly<Record<keyof CasilSettings, Check>> = {
  enabled: flag,
  mode: oneOf('monitor', 'enforce'),
  default_decision: oneOf('allow', 'block'),
  scope_include: list(globFault),
  scope_exclude: list(globFault),
  max_inspect_bytes: integer(1, 67_108_864),
  max_patterns: integer(0, 1_000),
  max_payload_bytes: integer(1, 67_108_864),
  block_on_probable_secret: flag,
  redaction_paths: list(pathFault),
  redaction_patterns: list(() => undefined),
  transport_redaction: flag,
  never_log_payload_for: list(globFault),
  metadata_to_logs: flag,
  metadata_to_telemetry: flag,
  metadata_to_envelope: flag,
};

/**
 * All errors in the settings, except for the patterns themselves, which only compiling can check.
 *
 * @param checked settings known to be valid; unchanged ones are not checked again
 * @param mostEntries maximum entries of the checked lists
 */
export function checkSettings(
  settings: Readonly<CasilSettings>,
  checked: Partial<Readonly<CasilSettings>> = {},
  mostEntries: number = MAX_LIST_LENGTH,
): PolicyFault[] {
  const faults: PolicyFault[] = [];
  for (const [name, check] of Object.entries(CHECKS)) {
    const setting = name as keyof CasilSettings;
    if (Object.hasOwn(checked, setting) && settings[setting] === checked[setting]) continue;
    const wrong = check(settings[setting], mostEntries) ?? [];
    for (const end of typeof wrong === 'string' ? [` ${wrong}`] : wrong) {
      faults.push({ setting, message: `${setting}${end}.` });
    }
  }
  for (const setting of Object.keys(settings)) {
    if (!Object.hasOwn(CHECKS, setting)) faults.push({ setting, message: `${setting} is not a CASIL setting.` });
  }
  const { max_patterns: most, redaction_patterns: patterns } = settings;
  if (Array.isArray(patterns) && CHECKS.max_patterns(most, 0) === undefined && patterns.length > most) {
    const message = `redaction_patterns has ${patterns.length} entries; max_patterns allows ${most}.`;
    faults.push({ setting: 'redaction_patterns', message });
  }
  return faults;
}

/** An error that lists every fault, in its message and as `details.faults`. */
export function settingsError(intro: string, faults: readonly PolicyFault[]): BusError {
  const problems = faults.map(({ setting, message }) => ({ field: setting, problem: message }));
  const sentence = faults.map(({ message }) => message).join(' ');
  return new BusError('VALIDATION_ERROR', `${intro} ${sentence}`, { field: faults[0]?.setting, faults: problems });
}

/** An entry for a message: ` ("…")`, truncated. */
export function quoted(entry: unknown): string {
  if (typeof entry !== 'string') return '';
  return ` (${JSON.stringify(entry.length > 80 ? `${entry.slice(0, 77)}...` : entry)})`;
}
