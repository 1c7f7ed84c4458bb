import { type Sensitivity, sensitiveName } from './keys.ts';
import { isCredentialLike, isLocation, isPlaceholder, looksRandom } from './plausibility.ts';
import type { Surroundings } from './rules/rule.ts';

/** How far back a name may reach from its value, separators included. */
const NAME_REACH = 96;
/** Names of programs' own kinds of values: `Uint8Array`, `int64`, `sha256`, `utf8`, `bcrypt10`. */
const TECHNICAL =
  /^(?:(?:big)?u?(?:int|float)\d+\w*|(?:sha|md|utf|base|aes|rsa|ed|hs|rs|es|ps|oauth|bcrypt|argon|scrypt|pbkdf|varchar)-?\d+\w{0,8})$/i;
/** A member of something in a program: `config.apiKey2`. */
const MEMBER = /^[A-Za-z_$][\w$]*(?:[.]|::|->)[A-Za-z_$][\w$]*(?:(?:[.]|::|->)[A-Za-z_$][\w$]*)*$/;
/** Words with hyphens and a number at most: the name of a thing, not its secret. */
const SLUG = /^[a-z]+(?:[-_.][a-z]+)+[-_.]?v?\d{0,3}$/;
const DATE = /^\d{4}-\d\d-\d\d/;

/**
 * Whether what stands behind the name of a secret (`password: …`, `--token=…`) is one: a value as a person or a
 * generator makes them, and neither a placeholder nor a word of prose or code.
 */
export function isAssignedSecret(value: string, { text, from, to }: Surroundings): boolean {
  const next = text.charCodeAt(to);
  // A call or an index behind it: this is code, and the value comes from elsewhere.
  if (next === OPENING_PARENTHESIS || next === OPENING_BRACKET) return false;
  // Told apart without any expression first: a text may hold thousands of harmless ones.
  if (value.length > MAX_VALUE || !isMixed(value)) return false;
  const sensitivity = sensitivityOf(nameBefore(text, from));
  if (sensitivity === undefined) return false;
  if (TECHNICAL.test(value) || (MEMBER.test(value) && !hasRandomPart(value))) return false;
  if (sensitivity === 'certain') return isPasswordLike(value);
  return isMade(value) && !SLUG.test(value) && !DATE.test(value);
}

const OPENING_PARENTHESIS = 40;
const OPENING_BRACKET = 91;
/** No secret is longer that has no shape of its own; what is, is data. */
const MAX_VALUE = 4_096;

/** The words that end at the separators before `at`. Written as a loop, since a text may hold thousands of names. */
function nameBefore(text: string, at: number): string {
  const least = Math.max(0, at - NAME_REACH);
  let end = at;
  while (end > least && !isAlphanumeric(text.charCodeAt(end - 1))) end--;
  let start = end;
  while (start > least && isNamePart(text.charCodeAt(start - 1))) start--;
  return text.slice(start, end);
}

/** Names repeat; hostile ones must not fill the memory. */
const MAX_REMEMBERED = 1_024;
const remembered = new Map<string, Sensitivity | undefined>();

function sensitivityOf(name: string): Sensitivity | undefined {
  if (remembered.has(name)) return remembered.get(name);
  const sensitivity = sensitiveName(name)?.sensitivity;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(name, sensitivity);
  return sensitivity;
}

/**
 * Whether a value has letters and digits, or letters that change between small and capital, as no word of a language
 * does, or is a number of some length.
 */
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

/** What people take for a password is shorter than what programs make. */
function isPasswordLike(value: string): boolean {
  if (isNumber(value)) return true;
  if (value.length < 8) return value.length >= 6 && /\d/.test(value) && /[A-Za-z]/.test(value) && !isPlaceholder(value);
  return isMade(value);
}

/** A number of six digits and more: as a password it is one, as a token it is a count. */
function isNumber(value: string): boolean {
  return /^\d{6,}$/.test(value);
}

/** Whether a value can be a credential, where the name before it already says so. */
function isMade(value: string): boolean {
  return isCredentialLike(value) || (isScrambled(value) && !isPlaceholder(value) && !isLocation(value));
}

/** Letters alone that change between small and capital more often than the words of a name do. */
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

/** Letters, digits, and what joins words to a name: `_`, `-`, `.` and the space of `API key`. */
function isNamePart(unit: number): boolean {
  return isAlphanumeric(unit) || unit === 95 || unit === 45 || unit === 46 || unit === 32;
}
