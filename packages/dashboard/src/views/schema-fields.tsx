import type { JsonObject } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { Choice, Field } from '../components/parts.tsx';

/** A schema property that fits a single form field. */
export interface SchemaField {
  readonly name: string;
  readonly type: 'string' | 'number' | 'boolean';
  readonly choices: readonly string[];
  readonly required: boolean;
}

const MAX_FIELDS = 20;

/** The scalar properties of a schema; nested ones are edited as JSON. */
export function fieldsOf(schema: JsonObject | boolean | undefined): SchemaField[] {
  if (typeof schema !== 'object') return [];
  const { properties, required } = schema as { properties?: unknown; required?: unknown };
  if (typeof properties !== 'object' || properties === null) return [];
  const needed = new Set(Array.isArray(required) ? required : []);
  return Object.entries(properties as Record<string, unknown>)
    .slice(0, MAX_FIELDS)
    .flatMap(([name, one]) => {
      const { type, enum: values } = (typeof one === 'object' && one !== null ? one : {}) as JsonObject;
      const choices = Array.isArray(values) ? values.filter((value) => typeof value === 'string') : [];
      const known = choices.length > 0 ? 'string' : type === 'integer' ? 'number' : type;
      if (known !== 'string' && known !== 'number' && known !== 'boolean') return [];
      return [{ name, type: known, choices, required: needed.has(name) }] as SchemaField[];
    });
}

interface FieldsProps {
  readonly fields: readonly SchemaField[];
  readonly value: JsonObject;
  readonly onChange: (value: JsonObject) => void;
}

/** A field for each scalar property of the channel's schema; in sync with the JSON below. */
export function SchemaFields({ fields, value, onChange }: FieldsProps): VNode {
  const set = (name: string, given: unknown): void => {
    const next: JsonObject = { ...value };
    if (given === undefined) delete next[name];
    else next[name] = given;
    onChange(next);
  };
  return (
    <fieldset class="row">
      <legend class="muted">As the channel’s schema says</legend>
      {fields.map(({ name, type, choices, required }) => {
        const label = required ? `${name} (required)` : name;
        const text = value[name] === undefined ? '' : String(value[name]);
        if (type === 'string' && choices.length === 0)
          return (
            <Field
              key={name}
              label={label}
              value={text}
              grow
              onInput={(given) => set(name, given === '' ? undefined : given)}
            />
          );
        if (type === 'number')
          return (
            <Field
              key={name}
              label={label}
              type="number"
              value={text}
              grow
              onInput={(given) => set(name, given === '' ? undefined : Number(given))}
            />
          );
        const options = type === 'boolean' ? ['true', 'false'] : choices;
        return (
          <Choice
            key={name}
            label={label}
            value={text}
            options={[['', '–'], ...options.map((one): [string, string] => [one, one])]}
            onChange={(given) => set(name, given === '' ? undefined : type === 'boolean' ? given === 'true' : given)}
          />
        );
      })}
    </fieldset>
  );
}
