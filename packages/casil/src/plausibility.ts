import { REDACTED } from './redaction.ts';

/** Names and marks used as placeholders for a secret, in lower case. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(
  (
    'changeme change_me change-me changethis change_this change-this placeholder redacted [redacted] masked hidden ' +
    'filtered [filtered] removed omitted none null nil undefined n/a na unset empty todo tbd fixme string str required ' +
    'optional true false yes no example dummy default unknown'
  ).split(' '),
);

/** A value in any of these brackets is a placeholder. */
const BRACKETS: readonly (readonly [string, string])[] = [
  ['<', '>'],
  ['${', '}'],
  ['{{', '}}'],
  ['{', '}'],
  ['#{', '}'],
  ['@{', '}'],
  ['$(', ')'],
  ['%', '%'],
  ['[', ']'],
  ['__', '__'],
];

const MASK = /^[*x.\-_•#?…●]+$/i;
const VARIABLE = /^\$[A-Za-z_][A-Za-z0-9_]*$/;
const INSTRUCTION = /^(?:your|insert|enter|replace|put|add)[-_ ]|[-_ ]here$/i;
/** References to where the value is stored. */
const REFERENCE = /^(?:env:|vault:|op:\/\/|ssm:|secretref:|arn:aws:|process\.env\.|os\.environ)/i;
const LOCATION = /^(?:\.{0,2}\/|~\/|[A-Za-z]:\\|[a-z][a-z0-9+.-]*:\/\/)/;

/**
 * Whether a value is only a placeholder for a secret: empty, masked (`***`), a name in brackets (`<token>`, `${VAR}`),
 * a variable, a word such as `changeme`, an instruction (`your-key-here`) or a reference (`vault:app/key`).
 */
export function isPlaceholder(value: string): boolean {
  const text = value.trim();
  // Placeholders are short; this also limits the work on hostile values.
  if (text.length > 120) return false;
  if (text === '' || text === REDACTED || MASK.test(text) || PLACEHOLDERS.has(text.toLowerCase())) return true;
  for (const [open, close] of BRACKETS) {
    if (text.length > open.length + close.length && text.startsWith(open) && text.endsWith(close)) return true;
  }
  return VARIABLE.test(text) || INSTRUCTION.test(text) || REFERENCE.test(text);
}

/** Used in sample keys in documentation. */
const SAMPLE = /x{6}|your[-_]/i;

/** Whether a text in a key's format is a documentation sample: `sk_live_xxxxxxxx`, `xoxb-your-token`. */
export function isSample(text: string): boolean {
  // Keys are short; long encoded data may contain anything.
  return text.length <= 256 && SAMPLE.test(text);
}

/** Whether a value is a path or a URL. */
export function isLocation(value: string): boolean {
  return LOCATION.test(value);
}

/** Whether a value may be a credential, if the name or the words before it only make that likely. */
export function isCredentialLike(value: string): boolean {
  if (value.length < 8 || /\s/.test(value) || isPlaceholder(value) || isLocation(value)) return false;
  return (/[0-9]/.test(value) && /[A-Za-z]/.test(value)) || looksRandom(value);
}

/**
 * Whether a text looks generated: it changes between lower case, upper case and digits more often than words do. Upper
 * to lower case does not count, because that occurs in any capitalized name.
 */
export function looksRandom(text: string): boolean {
  let changes = 0;
  let last = '';
  // The first characters of a key are enough.
  for (let i = 0; i < text.length && i < 256; i++) {
    const kind = kindOf(text.charCodeAt(i));
    if (last !== '' && kind !== '' && kind !== last && !(last === 'capital' && kind === 'small')) changes++;
    last = kind;
  }
  return changes >= 5;
}

function kindOf(unit: number): '' | 'digit' | 'small' | 'capital' {
  if (unit >= 48 && unit <= 57) return 'digit';
  if (unit >= 97 && unit <= 122) return 'small';
  return unit >= 65 && unit <= 90 ? 'capital' : '';
}

/** Whether a text is base64 of `name:password` with both parts present, as in HTTP Basic authentication. */
export function isBasicCredentials(text: string): boolean {
  let decoded: string;
  try {
    decoded = atob(text);
  } catch {
    return false;
  }
  return /^[\x20-\x7e]+:[\x20-\x7e]+$/.test(decoded);
}
