/** Characters that are escaped in a source file: all except printable ASCII, letters and numbers. */
const SHOWN = /[^\x20-\x7e\p{L}\p{N}]/gu;
const MAX_COMMENT = 300;

/**
 * A double-quoted string literal valid in TypeScript and Python: quotes, line breaks, bidirectional controls and
 * invisible characters are escaped.
 */
export function quoted(text: string, spelled: (codePoint: number) => string): string {
  const safe = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return `"${safe.replace(SHOWN, (character) => spelled(character.codePointAt(0) as number))}"`;
}

/** Text as one line of a comment, unable to end the comment. */
export function remarkOf(text: string): string {
  const line = text.replace(SHOWN, ' ').replaceAll('*/', '* /').replace(/\s+/g, ' ').trim();
  return line.length > MAX_COMMENT ? `${line.slice(0, MAX_COMMENT)} …` : line;
}
