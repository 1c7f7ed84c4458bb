/** Characters of a text that a source file shows as they are: those that one can see, and the space. */
const SHOWN = /[^\x20-\x7e\p{L}\p{N}]/gu;
const MAX_COMMENT = 300;

/**
 * A text in double quotes that TypeScript and Python read alike: quotes, line ends, marks that change the direction of
 * text and all that cannot be seen are escaped.
 */
export function quoted(text: string, spelled: (codePoint: number) => string): string {
  const safe = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return `"${safe.replace(SHOWN, (character) => spelled(character.codePointAt(0) as number))}"`;
}

/** A text as one line of a comment, which nothing in it can end. */
export function remarkOf(text: string): string {
  const line = text.replace(SHOWN, ' ').replaceAll('*/', '* /').replace(/\s+/g, ' ').trim();
  return line.length > MAX_COMMENT ? `${line.slice(0, MAX_COMMENT)} …` : line;
}
