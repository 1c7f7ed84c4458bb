import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const TEMPLATE = fileURLToPath(new URL('./benchmarks.template.md', import.meta.url));

/** `<!-- bench:NAME -->` … `<!-- /bench:NAME -->`, each on a separate line. */
const SECTION = /^<!-- bench:([a-z-]+) -->\n([\s\S]*?)^<!-- \/bench:\1 -->$/gm;

/**
 * Puts `markdown` into the section `name` of the page. Prose comes from the template; the other sections are kept.
 * Throws if the template has no such section.
 */
export function writeSection(name: string, markdown: string, page: string): void {
  const template = readFileSync(TEMPLATE, 'utf8');
  const sections = existsSync(page) ? sectionsOf(readFileSync(page, 'utf8')) : new Map<string, string>();
  sections.set(name, `\n${markdown.trim()}\n\n`);
  if (!sectionsOf(template).has(name)) throw new Error(`the benchmark page has no section "${name}"`);
  const text = template.replace(SECTION, (_whole, section: string) => {
    return `<!-- bench:${section} -->\n${sections.get(section) ?? '\nNot measured yet.\n\n'}<!-- /bench:${section} -->`;
  });
  writeFileSync(page, text);
}

/** A Markdown table. The first column is left-aligned, the others right-aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? ':--' : '--:'))), ...rows.map(line)].join('\n');
}

function sectionsOf(page: string): Map<string, string> {
  return new Map([...page.matchAll(SECTION)].map((match) => [match[1]!, match[2]!]));
}
