import { type Sensitivity, sensitiveName } from './keys.ts';
import { isCredentialLike, isLocation, isPlaceholder, looksRandom } from './plausibility.ts';
import type { Surroundings } from './rules/rule.ts';

/** Maximum distance from a name to its value, including separators. */
const NAME_REACH = 96;
/** Technical type and algorithm names: `Uint8Array`, `int64`, `sha256`, `utf8`, `bcrypt10`. */
const TECHNICAL =
  /^(?:(?:big)?u?(?:int|float)\d+\w*|(?:sha|md|utf|base|aes|rsa|ed|hs|rs|es|ps|oauth|bcrypt|argon|scrypt|pbkdf|varchar)-?\d+\w{0,8})$/i;
/** A member access in code: `config.apiKey2`. */
const MEMBER = /^[A-Za-z_$][\w$]*(?:[.]|::|->)[A-Za-z_$][\w$]*(?:(?:[.]|::|->)[A-Za-z_$][\w$]*)*$/;
/** Hyphenated words, optionally with a number: a name, not a secret. */
const SLUG = /^[a-z]+(?:[-_.][a-z]+)+[-_.]?v?\d{0,3}$/;
const DATE = /^\d{4}-\d\d-\d\d/;

/**
 * Whether the value assigned to a secret's name (`password: …`, `--token=…`) is a secret: a value chosen by a person or
 * a generator, and neither a placeholder nor a word of prose or code.
 */
export function isAssignedSecret(value: string, { text, from, to }: Surroundings): boolean {
  const next = text.charCodeAt(to);
  // Followed by a call or an index: this is code, and not a literal value.
  if (next === OPENING_PARENTHESIS || next === OPENING_BRACKET) return false;
  // Checked first without regular expressions: a text may contain thousands of harmless values.
  if (value.length > MAX_VALUE || !isMixed(value)) return false;
  const sensitivity = sensitivityOf(nameBefore(text, from));
  if (sensitivity === undefined) return false;
  if (TECHNICAL.test(value) || (MEMBER.test(value) && !hasRandomPart(value))) return false;
  if (sensitivity === 'certain') return isPasswordLike(value);
  return isMade(value) && !SLUG.test(value) && !DATE.test(value);
}

const OPENING_PARENTHESIS = 40;
const OPENING_BRACKET = 91;
/** Secrets without a known format are not longer; longer values are data. */
const MAX_VALUE = 4_096;

/** The words before the separators before `at`. A loop, because a text may contain thousands of names. */
function nameBefore(text: string, at: number): string {
  const least = Math.max(0, at - NAME_REACH);
  let end = at;
  while (end > least && !isAlphanumeric(text.charCodeAt(end - 1))) end--;
  let start = end;
  while (start > least && isNamePart(text.charCodeAt(start - 1))) start--;
  return text.slice(start, end);
}

/** Names repeat; the limit keeps hostile ones from filling the memory. */
const MAX_REMEMBERED = 1_024;
const remembered = new Map<string, Sensitivity | undefined>();

function sensitivityOf(name: string): Sensitivity | undefined {
  if (remembered.has(name)) return remembered.get(name);
  const sensitivity = sensitiveName(name)?.sensitivity;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(name, sensitivity);
  return sensitivity;
}

/** Whether a value mixes letters and digits, or upper and lower case as no word does, or is a long number. */
function isMixed(value: string): boolean {
  let digits = false;
  let letters = false;
  let changes = 0;
  for (let i = 0; i < value.length && i < 256; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 48 && unit <= 57) digits = true;
    else if (isAlphanumeric(unit)) {
      letters = true;
      if (i > 0 && isCapital(unit) !== isCapital(value.charCodeAt(i - 1))) changes++;
    }
    if ((digits && letters) || changes >= 4) return true;
  }
  return digits && !letters && isNumber(value);
}

/** Passwords chosen by people are shorter than generated ones. */
function isPasswordLike(value: string): boolean {
  if (isNumber(value)) return true;
  if (value.length < 8) return value.length >= 6 && /\d/.test(value) && /[A-Za-z]/.test(value) && !isPlaceholder(value);
  return isMade(value);
}

/** A number of six or more digits: it may be a password, but as a token it is a count. */
function isNumber(value: string): boolean {
  return /^\d{6,}$/.test(value);
}

/** Whether a value may be a credential, given that the name before it says so. */
function isMade(value: string): boolean {
  return isCredentialLike(value) || (isScrambled(value) && !isPlaceholder(value) && !isLocation(value));
}

/** Letters only, whose case changes more often than in a name. */
function isScrambled(value: string): boolean {
  if (value.length < 12 || value.length > 256 || !/^[A-Za-z]+$/.test(value)) return false;
  let changes = 0;
  for (let i = 1; i < value.length; i++) {
    if (isCapital(value.charCodeAt(i)) !== isCapital(value.charCodeAt(i - 1))) changes++;
  }
  return changes / (value.length - 1) >= 0.4;
}

function isCapital(unit: number): boolean {
  return unit >= 65 && unit <= 90;
}

function hasRandomPart(value: string): boolean {
  return value.split(/[.:>-]+/).some((part) => part.length >= 16 && looksRandom(part));
}

function isAlphanumeric(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122);
}

/** Letters, digits, and characters that join the words of a name: `_`, `-`, `.`, and the space in `API key`. */
function isNamePart(unit: number): boolean {
  return isAlphanumeric(unit) || unit === 95 || unit === 45 || unit === 46 || unit === 32;
}
