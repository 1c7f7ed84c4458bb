import { quoted, remarkOf } from './literal.ts';
import type { Declaration, Field, Shape } from './shape.ts';

const HEAD = `# Made by \`arqon types\` from the schemas of channel rules; make it anew when they change.
from typing import Any, Dict, List, Literal, TypedDict, Union
`;

/** The types as a module for Python 3.10 and later; `channels` maps channels to type names. */
export function pythonModule(
  declarations: readonly Declaration[],
  channels: ReadonlyMap<string, { readonly name: string; readonly note: string }>,
): string {
  const writer = new PythonWriter(new Set(declarations.map(({ name }) => name)));
  for (const one of declarations) writer.declare(one);
  const map = [...channels].map(([match, { name, note }]) => `        ${text(match)}: ${name},  # ${note}`);
  return [
    HEAD,
    ...writer.blocks,
    '# What channels carry.',
    `Channels = TypedDict(\n    "Channels",\n    {\n${map.map((line) => `${line}\n`).join('')}    },\n)`,
    '',
  ].join('\n');
}

/** Writes types in the functional form, which allows any field name; nested objects become separate named types. */
class PythonWriter {
  readonly blocks: string[] = [];
  private readonly taken: Set<string>;
  private readonly declared: Set<string> = new Set();

  constructor(taken: Set<string>) {
    this.taken = taken;
  }

  declare({ name, shape, about }: Declaration): void {
    const remark = about === null ? '' : `# ${remarkOf(about)}\n`;
    if (shape.kind === 'object' && shape.fields.size > 0) {
      this.object(name, shape.fields, remark);
    } else this.blocks.push(`${remark}${name} = ${this.written(shape, name)}\n`);
    this.declared.add(name);
  }

  private object(name: string, fields: ReadonlyMap<string, Field>, remark: string): void {
    const required = [...fields].filter(([, { isRequired }]) => isRequired);
    const optional = [...fields].filter(([, { isRequired }]) => !isRequired);
    if (optional.length === 0 || required.length === 0) {
      this.blocks.push(`${remark}${name} = ${this.typedDict(name, [...fields], name, required.length > 0)}\n`);
      return;
    }
    const [must, may] = [this.free(`_${name}Required`), this.free(`_${name}Optional`)];
    const parts = [
      `${must} = ${this.typedDict(must, required, name, true)}`,
      `${may} = ${this.typedDict(may, optional, name, false)}`,
      `${remark}class ${name}(${must}, ${may}):\n    pass`,
    ];
    this.blocks.push(`${parts.join('\n\n\n')}\n\n`);
  }

  private typedDict(name: string, fields: readonly [string, Field][], base: string, isTotal: boolean): string {
    const lines = fields.map(([key, { shape, about }]) => {
      const comment = about === null ? '' : `  # ${remarkOf(about)}`;
      return `        ${text(key)}: ${this.written(shape, `${base}${nameFrom(key)}`)},${comment}\n`;
    });
    return `TypedDict(\n    "${name}",\n    {\n${lines.join('')}    },\n${isTotal ? '' : '    total=False,\n'})`;
  }

  /** @param wanted name for an object type found here */
  private written(shape: Shape, wanted: string): string {
    switch (shape.kind) {
      // Python has no intersection types.
      case 'any':
      case 'all':
        return 'Any';
      case 'never':
        // No value of this type exists, so none can be sent.
        return 'Any';
      case 'string':
        return 'str';
      case 'integer':
        return 'int';
      case 'number':
        return 'float';
      case 'boolean':
        return 'bool';
      case 'null':
        return 'None';
      case 'literal':
        if (typeof shape.value === 'string') return `Literal[${text(shape.value)}]`;
        return `Literal[${typeof shape.value === 'boolean' ? (shape.value ? 'True' : 'False') : shape.value}]`;
      case 'list':
        return `List[${this.written(shape.items, `${wanted}Item`)}]`;
      case 'tuple':
        return `List[${this.union(shape.items, wanted)}]`;
      case 'union':
        return this.union(shape.of, wanted);
      case 'named':
        // A recursive type cannot be referenced before its definition.
        return this.declared.has(shape.name) ? shape.name : 'Any';
      case 'object': {
        if (shape.fields.size === 0) {
          return `Dict[str, ${shape.others === null ? 'Any' : this.written(shape.others, `${wanted}Value`)}]`;
        }
        const name = this.free(wanted);
        this.object(name, shape.fields, '');
        this.declared.add(name);
        return name;
      }
    }
  }

  private union(shapes: readonly Shape[], wanted: string): string {
    const members = [...new Set(shapes.map((one, index) => this.written(one, `${wanted}${index + 1}`)))];
    if (members.includes('Any')) return 'Any';
    return members.length === 1 ? (members[0] as string) : `Union[${members.join(', ')}]`;
  }

  private free(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.taken.has(name); number += 1) name = `${wanted}${number}`;
    this.taken.add(name);
    return name;
  }
}

function nameFrom(key: string): string {
  const name = (key.match(/[A-Za-z0-9]+/g) ?? []).map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
  return name.slice(0, 60) || 'Field';
}

function text(value: string): string {
  return quoted(value, (codePoint) => `\\U${codePoint.toString(16).padStart(8, '0')}`);
}
