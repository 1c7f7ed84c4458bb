/** A calendar date, with leap years. */
const DATE =
  '(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))' +
  '|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)';
const HOUR = '(?:[01]\\d|2[0-3])';

/**
 * A date-time of RFC 3339 that exists in the calendar, with a fraction of any length. Without an offset
 * it is UTC, as printed by programs that use UTC. Groups: date and time, fraction, offset.
 */
export const TIMESTAMP: RegExp = new RegExp(
  `^(${DATE}[Tt]${HOUR}:[0-5]\\d:[0-5]\\d)(?:\\.(\\d+))?([Zz]|[+-]${HOUR}:[0-5]\\d)?$`,
);

/** Whether `value` is a date-time that matches {@link TIMESTAMP}. */
export function isTimestamp(value: unknown): value is string {
  return typeof value === 'string' && TIMESTAMP.test(value);
}

/** Milliseconds since 1970 of such a date-time, without further digits; undefined for other values. */
export function parseTimestamp(text: string): number | undefined {
  const match = TIMESTAMP.exec(text);
  if (match === null) return undefined;
  const [, seconds = '', fraction = '', offset = 'Z'] = match;
  return Date.parse(`${seconds}.${fraction.slice(0, 3).padEnd(3, '0')}${offset}`.toUpperCase());
}

/** The same instant, unambiguous: `Z` is added if the offset is missing. */
export function withOffset(timestamp: string): string {
  const last = timestamp.charCodeAt(timestamp.length - 1) | 0x20;
  const sign = timestamp[timestamp.length - 6];
  return last === 0x7a || sign === '+' || sign === '-' ? timestamp : `${timestamp}Z`;
}
