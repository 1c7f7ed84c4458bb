/** Stands in for everything that was redacted, on the wire and in what is logged. */
export const REDACTED = '***REDACTED***';

const REDACTED_NAME = /^\*\*\*REDACTED\*\*\*(?:[2-9]|[1-9]\d{1,6})?$/;

/** Whether a name stands for one that was redacted: the token alone, or with a number that keeps names apart. */
export function isRedactedName(name: string): boolean {
  return name.startsWith(REDACTED) && REDACTED_NAME.test(name);
}

/** More redacted parts in one string than this, and the whole string is redacted: tokens must not swell a payload. */
const MAX_PARTS = 256;

/** A part of a text; `end` is exclusive. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

/** The tokens that a text already holds, from left to right: they stand for what was redacted before. */
export function tokensIn(text: string): readonly Part[] {
  const tokens: Part[] = [];
  for (let at = text.indexOf(REDACTED); at >= 0; at = text.indexOf(REDACTED, at + REDACTED.length)) {
    tokens.push({ start: at, end: at + REDACTED.length });
  }
  return tokens;
}

/** Whether a part lies inside one of the tokens, and so holds nothing of the original. */
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
 * Replaces `parts` of `text`, one token for parts that overlap or touch each other or a token that is already there.
 *
 * @param parts in any order, none of them inside a token
 * @param tokens those that the text already holds
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
