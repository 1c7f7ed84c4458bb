/** The beginning of a value as JSON, at most `budget` characters plus `…`; reads no more than it shows. */
export function preview(value: unknown, budget: number): string {
  const written = { text: '', left: budget };
  write(value, written);
  return written.left < 0 ? `${written.text.slice(0, budget)}…` : written.text;
}

interface Written {
  text: string;
  /** Below zero: it did not fit. */
  left: number;
}

function put(written: Written, text: string): void {
  written.text += text;
  written.left -= text.length;
}

function write(value: unknown, written: Written): void {
  if (written.left < 0) return;
  if (typeof value === 'string') {
    const isLong = value.length > written.left;
    put(written, JSON.stringify(isLong ? value.slice(0, written.left + 1) : value));
  } else if (Array.isArray(value)) {
    put(written, '[');
    for (const [index, one] of value.entries()) {
      if (written.left < 0) return;
      if (index > 0) put(written, ',');
      write(one, written);
    }
    put(written, ']');
  } else if (typeof value === 'object' && value !== null) {
    put(written, '{');
    let isFirst = true;
    for (const key in value) {
      if (written.left < 0) return;
      if (!isFirst) put(written, ',');
      isFirst = false;
      put(written, `${JSON.stringify(key.slice(0, written.left + 1))}:`);
      write((value as Record<string, unknown>)[key], written);
    }
    put(written, '}');
  } else put(written, JSON.stringify(value) ?? 'undefined');
}
