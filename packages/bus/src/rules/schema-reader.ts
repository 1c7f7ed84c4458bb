import { isObject } from './json-value.ts';

/** One object of a schema whose keywords are read with their types. Each read throws an Error that ends a sentence. */
export class SchemaReader {
  readonly node: Readonly<Record<string, unknown>>;

  constructor(node: Readonly<Record<string, unknown>>) {
    this.node = node;
  }

  has(keyword: string): boolean {
    return this.node[keyword] !== undefined;
  }

  number(keyword: string): number | undefined {
    return this.read(keyword, 'a number', (value): value is number => typeof value === 'number');
  }

  /** A whole number from 0. */
  count(keyword: string): number | undefined {
    return this.read(
      keyword,
      'a whole number',
      (value): value is number => Number.isInteger(value) && Number(value) >= 0,
    );
  }

  boolean(keyword: string): boolean | undefined {
    return this.read(keyword, 'true or false', (value): value is boolean => typeof value === 'boolean');
  }

  text(keyword: string): string | undefined {
    return this.read(keyword, 'a string', (value): value is string => typeof value === 'string');
  }

  texts(keyword: string): readonly string[] | undefined {
    return this.read(keyword, 'a list of different strings', isTexts);
  }

  list(keyword: string): readonly unknown[] | undefined {
    return this.read(keyword, 'a list', Array.isArray);
  }

  /** Schemas, or lists of names, by name. */
  entries(keyword: string): readonly [string, unknown][] {
    return Object.entries(this.read(keyword, 'an object', isObject) ?? {});
  }

  /** At least one schema. */
  schemas(keyword: string): readonly unknown[] | undefined {
    return this.read(
      keyword,
      'a list with a schema in it',
      (value): value is unknown[] => Array.isArray(value) && value.length > 0,
    );
  }

  private read<T>(keyword: string, what: string, is: (value: unknown) => value is T): T | undefined {
    const value = this.node[keyword];
    if (value === undefined) return undefined;
    if (is(value)) return value;
    throw new Error(`"${keyword}" must be ${what}`);
  }
}

export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string') && new Set(value).size === value.length;
}
