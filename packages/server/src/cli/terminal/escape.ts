/**
 * Characters that a terminal interprets, hides or reorders: control characters (C0, DEL, C1), line and paragraph
 * separators, bidirectional controls, zero-width and other invisible characters, tags, lone surrogates.
 */
const UNSAFE = String.raw`[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]`;

const EMOJI = String.raw`\p{Extended_Pictographic}[\ufe0e\ufe0f\p{Emoji_Modifier}]?`;
const JOINING = `[${['Arab', 'Syrc', 'Nkoo', 'Mong', 'Deva', 'Beng', 'Guru', 'Gujr', 'Orya', 'Taml', 'Telu', 'Knda', 'Mlym', 'Sinh', 'Khmr', 'Mymr', 'Tibt'].map((script) => `\\p{Script=${script}}`).join('')}]`;

/**
 * Invisible characters that are allowed: joiners inside an emoji or between two letters of a joining script, and
 * selectors between emoji and text style.
 */
const NEEDED = [
  `${EMOJI}(?:\\u200d${EMOJI})*`,
  String.raw`[0-9#*]\ufe0f\u20e3`,
  `(?<=${JOINING})[\\u200c\\u200d](?=${JOINING})`,
].join('|');

const FOREIGN = new RegExp(`${NEEDED}|(${UNSAFE})`, 'gu');
const FOREIGN_BUT_LAYOUT = new RegExp(`${NEEDED}|(?![\\n\\t])(${UNSAFE})`, 'gu');

/** The fast path for most texts. */
const PRINTABLE_ASCII = /^[ -~]*$/;

/** Foreign text on one line, with unsafe characters written as `\u{202e}`. */
export function escapeText(text: string): string {
  return replaceUnsafe(text, FOREIGN, codePoint);
}

/** {@link escapeText} for text with its own layout: line breaks and tabs stay. */
export function escapeAllButLayout(text: string): string {
  return replaceUnsafe(text, FOREIGN_BUT_LAYOUT, codePoint);
}

/** The same for JSON, whose meaning is preserved: unsafe characters become `\uXXXX`. */
export function escapeJson(json: string): string {
  return replaceUnsafe(json, FOREIGN_BUT_LAYOUT, codeUnits);
}

function replaceUnsafe(text: string, pattern: RegExp, written: (character: string) => string): string {
  if (PRINTABLE_ASCII.test(text)) return text;
  return text.replace(pattern, (match: string, unsafe: string | undefined) =>
    unsafe === undefined ? match : written(unsafe),
  );
}

function codePoint(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

function codeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
