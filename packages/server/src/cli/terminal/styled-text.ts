import { styleText } from 'node:util';
import stringWidth from 'string-width';
import { escapeAllButLayout, escapeJson, escapeText } from './escape.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta';

/** What a {@link StyledText} can be made of. Strings are escaped. */
export type Part = string | number | StyledText;

interface Segment {
  readonly text: string;
  readonly styles: readonly Style[];
}

/**
 * Text that may go to a terminal. The strings it was made of have been escaped, so its line ends, tabs and colours are
 * all this program's own.
 */
export class StyledText {
  private readonly segments: readonly Segment[];

  private constructor(segments: readonly Segment[]) {
    this.segments = merged(segments);
  }

  /** A string of any origin, escaped on one line. What a server sent in place of a string is shown as JSON. */
  static from(part: unknown): StyledText {
    if (part instanceof StyledText) return part;
    const string = typeof part === 'string' ? part : (JSON.stringify(part) ?? String(part));
    return StyledText.plain(escapeText(string));
  }

  /** A text whose line ends and tabs are this program's own; all else is escaped. */
  static layout(own: string): StyledText {
    return StyledText.plain(escapeAllButLayout(own));
  }

  /** A value as JSON, on one line or indented by `indent` spaces. Escaping keeps its meaning for programs. */
  static json(value: unknown, indent = 0): StyledText {
    return StyledText.plain(escapeJson(JSON.stringify(value, null, indent) ?? 'null'));
  }

  /** JSON as it was received, on one line. */
  static receivedJson(json: string): StyledText {
    // A string in JSON cannot hold these, so they stand between values.
    return StyledText.plain(escapeJson(json.replaceAll(/[\n\r\t]+/g, ' ')));
  }

  /** Parts one after the other, with a separator of this program's own. */
  static join(parts: readonly Part[], separator: string): StyledText {
    const { segments } = StyledText.layout(separator);
    return new StyledText(
      parts.flatMap((part, index) => [...(index === 0 ? [] : segments), ...StyledText.from(part).segments]),
    );
  }

  private static plain(safe: string): StyledText {
    return new StyledText([{ text: safe, styles: [] }]);
  }

  /** The text in a style, around those that it has. */
  paint(style: Style): StyledText {
    return new StyledText(this.segments.map(({ text, styles }) => ({ text, styles: [style, ...styles] })));
  }

  get isEmpty(): boolean {
    return this.segments.length === 0;
  }

  /** Columns that it takes on a terminal. */
  get width(): number {
    return stringWidth(this.render(false));
  }

  /** In at most `columns` columns; `…` stands for what does not fit. */
  cut(columns: number): StyledText {
    if (this.width <= columns) return this;
    if (columns < 1) return StyledText.plain('');
    const kept: Segment[] = [];
    let room = columns - 1;
    for (const { text, styles } of this.segments) {
      const head = fitting(text, room);
      kept.push({ text: head, styles });
      room -= stringWidth(head);
      if (head !== text) break;
    }
    return new StyledText([...kept, { text: '…', styles: [] }]);
  }

  /** On lines of at most `columns` columns, broken at spaces where there are any; styles are lost on a broken line. */
  wrap(columns: number): StyledText[] {
    const lines: StyledText[] = [];
    for (let rest = this.render(false); ; ) {
      const head = fitting(rest, columns) || rest;
      if (head === rest) return lines.length === 0 ? [this] : [...lines, StyledText.plain(rest)];
      const space = rest[head.length] === ' ' ? head.length : head.lastIndexOf(' ');
      lines.push(StyledText.plain(space > 0 ? head.slice(0, space) : head));
      rest = space > 0 ? rest.slice(space + 1) : rest.slice(head.length);
    }
  }

  /** With the colour codes of its styles, or without. */
  render(colours: boolean): string {
    return this.segments
      .map(({ text, styles }) => {
        // Escaped again where it leaves: no way of making a text can then let a control character through.
        const safe = escapeAllButLayout(text);
        return colours && styles.length > 0 ? styleText([...styles], safe, { validateStream: false }) : safe;
      })
      .join('');
  }
}

/** A template: its own words are layout, its values are escaped. */
export function text(strings: TemplateStringsArray, ...values: readonly Part[]): StyledText {
  const parts = strings.flatMap((own, index) => {
    const value = values[index];
    return [StyledText.layout(own), ...(value === undefined ? [] : [value])];
  });
  return StyledText.join(parts, '');
}

export function paint(style: Style, part: Part): StyledText {
  return StyledText.from(part).paint(style);
}

/** One part a line. */
export function lines(parts: readonly Part[]): StyledText {
  return StyledText.join(parts, '\n');
}

/** Neighbours of the same styles in one, so that they share their colour codes; none that is empty. */
function merged(segments: readonly Segment[]): Segment[] {
  const all: Segment[] = [];
  for (const segment of segments) {
    const last = all.at(-1);
    if (segment.text === '') continue;
    if (last === undefined || last.styles.join() !== segment.styles.join()) all.push(segment);
    else all[all.length - 1] = { text: last.text + segment.text, styles: last.styles };
  }
  return all;
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** As much of the beginning of a text as fits into `columns`. */
function fitting(text: string, columns: number): string {
  let width = 0;
  let end = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += stringWidth(segment);
    if (width > columns) break;
    end += segment.length;
  }
  return text.slice(0, end);
}
