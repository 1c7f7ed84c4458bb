const COUNT = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** An exact number. */
export function count(value: number): string {
  return COUNT.format(value);
}

/** A number with a noun, such as `2 channels`. */
export function plural(value: number, one: string): string {
  return `${count(value)} ${one}${value === 1 ? '' : 's'}`;
}

/** An abbreviated number. */
export function short(value: number): string {
  if (value !== 0 && Math.abs(value) < 10) return value.toFixed(1).replace(/\.0$/, '');
  return SHORT.format(value);
}

export function bytes(value: number): string {
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${rest >= 100 || unit === 0 ? Math.round(rest) : rest.toFixed(1)} ${UNITS[unit]}`;
}

/** A duration in seconds. */
export function span(seconds: number): string {
  if (seconds === 0) return '0';
  if (seconds < 0.001) return `${Math.round(seconds * 1_000_000)} µs`;
  if (seconds < 1) return `${seconds < 0.01 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

/** The local time of day of an RFC 3339 time, with millisecond precision. */
export function clock(timestamp: string): string {
  const time = new Date(timestamp);
  if (Number.isNaN(time.getTime())) return '–';
  const two = (value: number): string => String(value).padStart(2, '0');
  const ms = String(time.getMilliseconds()).padStart(3, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

/** The local date and time of an RFC 3339 time, with millisecond precision. */
export function moment(timestamp: string): string {
  const time = new Date(timestamp);
  return Number.isNaN(time.getTime()) ? '–' : `${DAY.format(time)} ${clock(timestamp)}`;
}

/** The time since an RFC 3339 time, or until it. */
export function ago(timestamp: string | null): string {
  if (timestamp === null || timestamp === '') return '–';
  const seconds = (Date.now() - Date.parse(timestamp)) / 1000;
  if (Number.isNaN(seconds)) return '–';
  return seconds < 0 ? `in ${whole(-seconds)}` : `${whole(seconds)} ago`;
}

/** A duration in whole seconds, at least one, since it keeps growing while displayed. */
function whole(seconds: number): string {
  return seconds < 59.5 ? `${Math.max(1, Math.round(seconds))} s` : span(Math.max(60, seconds));
}
