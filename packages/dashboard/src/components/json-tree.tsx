import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { visible } from '../format/visible.ts';

/** Initially displayed part of a text, and of an object. */
const TEXT_STEP = 2_000;
const ENTRY_STEP = 100;
/** Levels that are initially expanded. */
const OPEN_LEVELS = 3;

interface TreeProps {
  readonly value: unknown;
  readonly name?: string;
  readonly level?: number;
}

/** Any JSON value. However large or deep it is, only the expanded part is rendered. */
export function JsonTree({ value, name, level = 0 }: TreeProps): VNode {
  const label = name === undefined ? null : <span class="key">{visible(name.slice(0, 200))}: </span>;
  if (typeof value === 'object' && value !== null) return <Branch value={value} label={label} level={level} />;
  return (
    <div class="json">
      {label}
      {typeof value === 'string' ? <Text text={value} /> : <span class="literal">{String(value)}</span>}
    </div>
  );
}

function Text({ text }: { readonly text: string }): VNode {
  const [shown, show] = useState(TEXT_STEP);
  const rest = text.length - shown;
  return (
    <>
      <span class="text">
        "{visible(text.slice(0, shown))}
        {rest > 0 ? '…' : '"'}
      </span>{' '}
      {rest > 0 && (
        <button type="button" onClick={() => show(shown + 10 * TEXT_STEP)}>
          {rest.toLocaleString('en')} more characters
        </button>
      )}
    </>
  );
}

interface BranchProps {
  readonly value: object;
  readonly label: VNode | null;
  readonly level: number;
}

function Branch({ value, label, level }: BranchProps): VNode {
  const [isOpen, open] = useState(level < OPEN_LEVELS);
  const [shown, show] = useState(ENTRY_STEP);
  const isList = Array.isArray(value);
  const keys = Object.keys(value);
  const [begin, end] = isList ? ['[', ']'] : ['{', '}'];
  if (keys.length === 0) {
    return (
      <div class="json">
        {label}
        {begin}
        {end}
      </div>
    );
  }
  return (
    <div class="json">
      {label}
      <button type="button" aria-expanded={isOpen} onClick={() => open(!isOpen)}>
        {isOpen ? '−' : '+'} {begin} {keys.length.toLocaleString('en')} {end}
      </button>
      {isOpen && (
        <ul>
          {keys.slice(0, shown).map((key) => (
            <li key={key}>
              <JsonTree name={key} value={(value as Record<string, unknown>)[key]} level={level + 1} />
            </li>
          ))}
          {keys.length > shown && (
            <li>
              <button type="button" onClick={() => show(shown + 10 * ENTRY_STEP)}>
                {(keys.length - shown).toLocaleString('en')} more
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
