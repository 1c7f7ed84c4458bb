import { quoted, remarkOf } from './literal.ts';
import type { Declaration, Shape } from './shape.ts';

const NAME = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

/** The types as a TypeScript module; `channels` maps channels to type names. */
export function typescriptModule(
  declarations: readonly Declaration[],
  channels: ReadonlyMap<string, { readonly name: string; readonly note: string }>,
): string {
  const map = [...channels].map(([match, { name, note }]) => `  /** ${note} */\n  ${text(match)}: ${name};`);
  return [
    '// Made by `arqon types` from the schemas of channel rules; make it anew when they change.',
    '',
    ...declarations.flatMap((one) => [declaration(one), '']),
    "/** What channels carry: `client.subscribe<Channels['room:channel']>('room:channel')`. */",
    `export interface Channels {${map.length === 0 ? '' : `\n${map.join('\n')}\n`}}`,
    '',
  ].join('\n');
}

function declaration({ name, shape, about }: Declaration): string {
  const comment = about === null ? '' : `/** ${remarkOf(about)} */\n`;
  if (shape.kind === 'object' && shape.fields.size > 0)
    return `${comment}export interface ${name} ${written(shape, '')}`;
  return `${comment}export type ${name} = ${written(shape, '')};`;
}

function written(shape: Shape, indent: string): string {
  switch (shape.kind) {
    case 'any':
      return 'unknown';
    case 'integer':
      return 'number';
    case 'literal':
      return typeof shape.value === 'string' ? text(shape.value) : String(shape.value);
    case 'list':
      return `Array<${written(shape.items, indent)}>`;
    case 'tuple':
      return `[${shape.items.map((one) => written(one, indent)).join(', ')}]`;
    case 'union':
      return shape.of.map((one) => written(one, indent)).join(' | ');
    case 'all':
      return shape.of.map((one) => `(${written(one, indent)})`).join(' & ');
    case 'named':
      return shape.name;
    case 'object':
      return object(shape, indent);
    default:
      return shape.kind;
  }
}

function object({ fields, others }: Extract<Shape, { kind: 'object' }>, indent: string): string {
  if (fields.size === 0)
    return others === null ? 'Record<string, never>' : `Record<string, ${written(others, indent)}>`;
  const inner = `${indent}  `;
  const lines = [...fields].map(([name, { shape, isRequired, about }]) => {
    const comment = about === null ? '' : `${inner}/** ${remarkOf(about)} */\n`;
    const key = NAME.test(name) ? name : text(name);
    return `${comment}${inner}${key}${isRequired ? '' : '?'}: ${written(shape, inner)};`;
  });
  // An index signature next to named fields must be compatible with them too.
  if (others !== null) lines.push(`${inner}[name: string]: unknown;`);
  return `{\n${lines.join('\n')}\n${indent}}`;
}

function text(value: string): string {
  return quoted(value, (codePoint) => `\\u{${codePoint.toString(16)}}`);
}
