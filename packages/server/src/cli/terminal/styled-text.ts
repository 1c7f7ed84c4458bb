import { styleText } from 'node:util';
import stringWidth from 'string-width';
import { escapeAllButLayout, escapeJson, escapeText } from './escape.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan' | 'magenta';

/** The parts of a {@link StyledText}. Strings are escaped. */
export type Part = string | number | StyledText;

interface Segment {
  readonly text: string;
  readonly styles: readonly Style[];
}

/**
 * Text that is safe to print to a terminal. Its input strings are escaped, so all its line breaks, tabs and colours
 * come from this program.
 */
export class StyledText {
  private readonly segments: readonly Segment[];

  private constructor(segments: readonly Segment[]) {
    this.segments = merged(segments);
  }

  /** Foreign text, escaped onto one line. Values that are not strings are shown as JSON. */
  static from(part: unknown): StyledText {
    if (part instanceof StyledText) return part;
    const string = typeof part === 'string' ? part : (JSON.stringify(part) ?? String(part));
    return StyledText.plain(escapeText(string));
  }

  /** Text of this program, whose line breaks and tabs are kept; everything else is escaped. */
  static layout(own: string): StyledText {
    return StyledText.plain(escapeAllButLayout(own));
  }

  /** A value as JSON, on one line or indented by `indent` spaces. Escaping preserves its meaning. */
  static json(value: unknown, indent = 0): StyledText {
    return StyledText.plain(escapeJson(JSON.stringify(value, null, indent) ?? 'null'));
  }

  /** Received JSON text, on one line. */
  static receivedJson(json: string): StyledText {
    // JSON strings cannot contain these characters, so they are whitespace between values.
    return StyledText.plain(escapeJson(json.replaceAll(/[\n\r\t]+/g, ' ')));
  }

  /** Joins parts with a separator of this program. */
  static join(parts: readonly Part[], separator: string): StyledText {
    const { segments } = StyledText.layout(separator);
    return new StyledText(
      parts.flatMap((part, index) => [...(index === 0 ? [] : segments), ...StyledText.from(part).segments]),
    );
  }

  private static plain(safe: string): StyledText {
    return new StyledText([{ text: safe, styles: [] }]);
  }

  /** The text in a style, around its existing styles. */
  paint(style: Style): StyledText {
    return new StyledText(this.segments.map(({ text, styles }) => ({ text, styles: [style, ...styles] })));
  }

  get isEmpty(): boolean {
    return this.segments.length === 0;
  }

  /** Width in terminal columns. */
  get width(): number {
    return stringWidth(this.render(false));
  }

  /** Limited to `columns` columns; `…` replaces the rest. */
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

  /** Wrapped to lines of at most `columns` columns, at spaces if possible; wrapped lines lose their styles. */
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

  /** With or without colour codes. */
  render(colours: boolean): string {
    return this.segments
      .map(({ text, styles }) => {
        // Escaped again on output, so that control characters can never get through.
        const safe = escapeAllButLayout(text);
        return colours && styles.length > 0 ? styleText([...styles], safe, { validateStream: false }) : safe;
      })
      .join('');
  }
}

/** A template tag: literal parts are layout, values are escaped. */
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

/** One part per line. */
export function lines(parts: readonly Part[]): StyledText {
  return StyledText.join(parts, '\n');
}

/** Merges adjacent segments with the same styles, so that they share colour codes; drops empty ones. */
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

/** The longest start of a text that fits into `columns`. */
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
