/**
 * What a terminal acts on, does not show, or shows in another order than it was written: control characters (C0, DEL,
 * C1), line and paragraph separators, bidirectional controls, zero-width and other invisible characters, tags, lone
 * surrogates.
 */
const UNSAFE = String.raw`[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]`;

const EMOJI = String.raw`\p{Extended_Pictographic}[\ufe0e\ufe0f\p{Emoji_Modifier}]?`;
const JOINING = `[${['Arab', 'Syrc', 'Nkoo', 'Mong', 'Deva', 'Beng', 'Guru', 'Gujr', 'Orya', 'Taml', 'Telu', 'Knda', 'Mlym', 'Sinh', 'Khmr', 'Mymr', 'Tibt'].map((script) => `\\p{Script=${script}}`).join('')}]`;

/**
 * The invisible characters that text cannot do without: joiners inside an emoji or between two letters of a script that
 * joins its letters, and the selectors that choose between an emoji and a plain sign.
 */
const NEEDED = [
  `${EMOJI}(?:\\u200d${EMOJI})*`,
  String.raw`[0-9#*]\ufe0f\u20e3`,
  `(?<=${JOINING})[\\u200c\\u200d](?=${JOINING})`,
].join('|');

const FOREIGN = new RegExp(`${NEEDED}|(${UNSAFE})`, 'gu');
const FOREIGN_BUT_LAYOUT = new RegExp(`${NEEDED}|(?![\\n\\t])(${UNSAFE})`, 'gu');

/** Most texts; they are let through without the cost of the patterns above. */
const PRINTABLE_ASCII = /^[ -~]*$/;

/** A text from elsewhere on one line, every unsafe character written out, such as `\u{202e}`. */
export function escapeText(text: string): string {
  return replaceUnsafe(text, FOREIGN, codePoint);
}

/** {@link escapeText} for a text that is laid out already: its line ends and tabs stay. */
export function escapeAllButLayout(text: string): string {
  return replaceUnsafe(text, FOREIGN_BUT_LAYOUT, codePoint);
}

/** The same for JSON, which stays JSON of the same meaning: unsafe characters become `\uXXXX`. */
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
