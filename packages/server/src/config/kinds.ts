/** What reading a value came to. The sentence that reports a failure is made from {@link Kind.expected}. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false };

/**
 * A kind of setting: how a value is read from text (a flag, a variable) and from a parsed file, and how it is written
 * back. `fromText(format(v))` is `v` for every value that the kind accepts.
 *
 * `format` takes a `T` as a property, not as a method, so that a kind which knows only some values of a setting's type
 * does not pass for one that knows them all.
 */
export interface Kind<T> {
  /** Ends the sentence "expected …". */
  readonly expected: string;
  readonly fromText: (text: string) => Parsed<T>;
  readonly fromFile: (value: unknown) => Parsed<T>;
  readonly format: (value: T) => string;
}

const FAILED: Parsed<never> = { ok: false };
const CONTROL = /\p{Cc}/u;

/** A kind whose values are written as text in files too, and need no quotes of their own there. */
export function textKind<T>(
  expected: string,
  fromText: (text: string) => Parsed<T>,
  format: (value: T) => string,
): Kind<T> {
  return { expected, fromText, fromFile: (value) => (typeof value === 'string' ? fromText(value) : FAILED), format };
}

/** Text that `accepts` says yes to. Control characters never pass: such a value would garble logs and headers. */
export function text(expected: string, accepts: (text: string) => boolean = () => true): Kind<string> {
  const read = (value: string): Parsed<string> =>
    CONTROL.test(value) || !accepts(value) ? FAILED : { ok: true, value };
  return textKind(expected, read, (value) => value);
}

/** As `kind`, and empty too, which stands for "not set". */
export function optional(kind: Kind<string>): Kind<string> {
  const read = (value: string): Parsed<string> => (value === '' ? { ok: true, value } : kind.fromText(value));
  return textKind(kind.expected, read, kind.format);
}

export function choice<T extends string>(values: readonly T[]): Kind<T> {
  const read = (value: string): Parsed<T> => {
    const found = values.find((candidate) => candidate.toLowerCase() === value.trim().toLowerCase());
    return found === undefined ? FAILED : { ok: true, value: found };
  };
  const named = values.filter((value) => value !== '');
  return textKind(`one of ${named.join(', ')}`, read, (value) => value);
}

/** A whole number, bounds included. */
export function integer(min: number, max: number): Kind<number> {
  return numeric(
    `a whole number from ${min} to ${max}`,
    /^\d+$/,
    (n) => Number.isSafeInteger(n) && n >= min && n <= max,
  );
}

/** A decimal number, bounds included. */
export function decimal(min: number, max: number): Kind<number> {
  return numeric(`a number from ${min} to ${max}`, /^\d+(\.\d+)?$/, (n) => n >= min && n <= max);
}

function numeric(expected: string, shape: RegExp, accepts: (n: number) => boolean): Kind<number> {
  const check = (n: number): Parsed<number> => (accepts(n) ? { ok: true, value: n } : FAILED);
  const fromText = (value: string): Parsed<number> => (shape.test(value.trim()) ? check(Number(value)) : FAILED);
  return {
    expected,
    fromText,
    fromFile: (value) => {
      if (typeof value === 'number') return check(value);
      return typeof value === 'string' ? fromText(value) : FAILED;
    },
    format: decimalText,
  };
}

/** Never in exponent notation, which the settings do not read. */
function decimalText(n: number): string {
  const written = String(n);
  return written.includes('e') ? n.toFixed(20).replace(/\.?0+$/, '') : written;
}

const TRUE = ['true', '1', 'yes', 'on'];
const FALSE = ['false', '0', 'no', 'off'];

/** `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, in any case. */
export const boolean: Kind<boolean> = {
  expected: 'true or false (or 1/0, yes/no, on/off)',
  fromText: (value) => {
    const word = value.trim().toLowerCase();
    if (TRUE.includes(word)) return { ok: true, value: true };
    return FALSE.includes(word) ? { ok: true, value: false } : FAILED;
  },
  fromFile: (value) => {
    if (typeof value === 'boolean') return { ok: true, value };
    return typeof value === 'string' || value === 0 || value === 1 ? boolean.fromText(String(value)) : FAILED;
  },
  format: String,
};

const MAX_PORT = 65_535;

/** A port to listen on; 0 takes any free one. */
export const port: Kind<number> = integer(0, MAX_PORT);

/** As {@link port}, or `off`. */
export const portOrOff: Kind<number | 'off'> = {
  expected: `${port.expected}, or off`,
  fromText: (value) => (value.trim().toLowerCase() === 'off' ? { ok: true, value: 'off' } : port.fromText(value)),
  fromFile: (value) => (typeof value === 'string' ? portOrOff.fromText(value) : port.fromFile(value)),
  format: String,
};

/**
 * A list: in text comma-separated, or a JSON array of strings when it starts with `[` (for items with commas in them);
 * in a file either of these or a list. Spaces around commas and empty items do not count.
 */
export function list(
  what: string,
  accepts: (item: string) => boolean = () => true,
  maxItems = 1_000,
): Kind<readonly string[]> {
  const check = (items: readonly unknown[]): Parsed<readonly string[]> => {
    const good = items.every((item) => typeof item === 'string' && item !== '' && !CONTROL.test(item) && accepts(item));
    return good && items.length <= maxItems ? { ok: true, value: items as readonly string[] } : FAILED;
  };
  const fromText = (value: string): Parsed<readonly string[]> => {
    const trimmed = value.trim();
    if (!trimmed.startsWith('[')) return check(splitAndTrim(trimmed, ','));
    const items = parseJson(trimmed);
    return Array.isArray(items) ? check(items) : FAILED;
  };
  return {
    expected: `${what}, separated by commas or as a JSON array`,
    fromText,
    fromFile: (value) => {
      if (Array.isArray(value)) return check(value);
      return typeof value === 'string' ? fromText(value) : FAILED;
    },
    format: (items) => {
      const plain = items.join(',');
      const read = fromText(plain);
      const survives = items.length > 0 && read.ok && JSON.stringify(read.value) === JSON.stringify(items);
      return survives ? plain : JSON.stringify(items);
    },
  };
}

/** The non-empty parts of `value` between separators, without the spaces around them. */
export function splitAndTrim(value: string, separator: string): string[] {
  return value
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** The value of a JSON text, undefined when it is none. */
export function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
