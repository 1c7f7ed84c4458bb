/** Replaces everything that was redacted, on the wire and in logs. */
export const REDACTED = '***REDACTED***';

const REDACTED_NAME = /^\*\*\*REDACTED\*\*\*(?:[2-9]|[1-9]\d{1,6})?$/;

/** Whether a name is a redacted one: the token alone, or with a number that keeps names distinct. */
export function isRedactedName(name: string): boolean {
  return name.startsWith(REDACTED) && REDACTED_NAME.test(name);
}

/** With more redacted parts in one string, the whole string is redacted, so that tokens do not inflate a payload. */
const MAX_PARTS = 256;

/** A part of a text; `end` is exclusive. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

/** The tokens already in a text, from left to right, from earlier redactions. */
export function tokensIn(text: string): readonly Part[] {
  const tokens: Part[] = [];
  for (let at = text.indexOf(REDACTED); at >= 0; at = text.indexOf(REDACTED, at + REDACTED.length)) {
    tokens.push({ start: at, end: at + REDACTED.length });
  }
  return tokens;
}

/** Whether a part lies inside one of the tokens, and so contains nothing of the original. */
export function isRedacted(tokens: readonly Part[], start: number, end: number): boolean {
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tokens[middle]!.end < end) low = middle + 1;
    else high = middle;
  }
  const token = tokens[low];
  return token !== undefined && token.start <= start;
}

/**
 * Replaces `parts` of `text`; parts that overlap or touch each other or an existing token become one token.
 *
 * @param parts in any order, none of them inside a token
 * @param tokens those already in the text
 */
export function redactParts(text: string, parts: readonly Part[], tokens: readonly Part[] = tokensIn(text)): string {
  const pieces = [...parts, ...tokens].sort((a, b) => a.start - b.start || a.end - b.end);
  let result = '';
  let start = 0;
  let end = 0;
  let count = 0;
  for (const piece of pieces) {
    if (count > 0 && piece.start <= end) {
      end = Math.max(end, piece.end);
      continue;
    }
    if (count > 0) result += REDACTED;
    result += text.slice(end, piece.start);
    start = piece.start;
    end = piece.end;
    count++;
  }
  if (count > MAX_PARTS) return REDACTED;
  return end > start ? result + REDACTED + text.slice(end) : text;
}
