/** Characters that would move, hide or reorder what stands around them. */
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** A text from anybody, in which everything can be seen: control characters and reordering marks are spelled out. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (found) => {
    const code = found.codePointAt(0) ?? 0;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
  });
}

/** The same in one line, for lists. */
export function visibleLine(text: string, length: number): string {
  const cut = text.length > length ? `${text.slice(0, length)}…` : text;
  return visible(cut.replaceAll(/[\n\t]/g, ' '));
}
