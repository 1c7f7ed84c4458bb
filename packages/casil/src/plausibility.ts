import { REDACTED } from './redaction.ts';

/** Names and marks that people write where a secret will stand, in lower case. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(
  (
    'changeme change_me change-me changethis change_this change-this placeholder redacted [redacted] masked hidden ' +
    'filtered [filtered] removed omitted none null nil undefined n/a na unset empty todo tbd fixme string str required ' +
    'optional true false yes no example dummy default unknown'
  ).split(' '),
);

/** A value in any of these brackets is a name for a value. */
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
/** Where the value is kept, instead of the value. */
const REFERENCE = /^(?:env:|vault:|op:\/\/|ssm:|secretref:|arn:aws:|process\.env\.|os\.environ)/i;
const LOCATION = /^(?:\.{0,2}\/|~\/|[A-Za-z]:\\|[a-z][a-z0-9+.-]*:\/\/)/;

/**
 * Whether a value only stands for a secret: empty, masked (`***`), a name in brackets (`<token>`, `${VAR}`), a
 * variable, a word such as `changeme`, an instruction (`your-key-here`) or a reference (`vault:app/key`).
 */
export function isPlaceholder(value: string): boolean {
  const text = value.trim();
  // No placeholder is long; this also bounds the work on hostile values.
  if (text.length > 120) return false;
  if (text === '' || text === REDACTED || MASK.test(text) || PLACEHOLDERS.has(text.toLowerCase())) return true;
  for (const [open, close] of BRACKETS) {
    if (text.length > open.length + close.length && text.startsWith(open) && text.endsWith(close)) return true;
  }
  return VARIABLE.test(text) || INSTRUCTION.test(text) || REFERENCE.test(text);
}

/** What documentation writes into the keys it shows. */
const SAMPLE = /x{6}|your[-_]/i;

/** Whether a text of a key's format is one from documentation: `sk_live_xxxxxxxx`, `xoxb-your-token`. */
export function isSample(text: string): boolean {
  // Keys are short; in long encoded data anything can come up.
  return text.length <= 256 && SAMPLE.test(text);
}

/** Whether a value is a path or an address. */
export function isLocation(value: string): boolean {
  return LOCATION.test(value);
}

/** Whether a value can be a credential, where a name or the words before it only make that likely. */
export function isCredentialLike(value: string): boolean {
  if (value.length < 8 || /\s/.test(value) || isPlaceholder(value) || isLocation(value)) return false;
  return (/[0-9]/.test(value) && /[A-Za-z]/.test(value)) || looksRandom(value);
}

/**
 * Whether a text looks made by a generator and not by a person: it changes between small, capital and digit more often
 * than words do. Capital to small counts as no change, since any name goes on so after its capital.
 */
export function looksRandom(text: string): boolean {
  let changes = 0;
  let last = '';
  // A key shows its nature within its first characters.
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

/** Whether a text is base64 of `name:password` with both parts, as HTTP's Basic scheme sends it. */
export function isBasicCredentials(text: string): boolean {
  let decoded: string;
  try {
    decoded = atob(text);
  } catch {
    return false;
  }
  return /^[\x20-\x7e]+:[\x20-\x7e]+$/.test(decoded);
}
