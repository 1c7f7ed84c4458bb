import type { JsonObject } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { preview } from '../format/preview.ts';
import { visibleLine } from '../format/visible.ts';

const MAX_ENTRIES = 16;
const MAX_CHARACTERS = 160;

/** The non-empty entries of an object as inline text. */
export function Brief({ of }: { readonly of: JsonObject }): VNode {
  const entries = Object.entries(of)
    .filter(([, value]) => value !== null && value !== '' && !(Array.isArray(value) && value.length === 0))
    .slice(0, MAX_ENTRIES);
  return (
    <span class="brief">
      {entries.map(([name, value]) => (
        <span key={name}>
          <b>{visibleLine(name, 60)}</b>{' '}
          {visibleLine(typeof value === 'string' ? value : preview(value, MAX_CHARACTERS), MAX_CHARACTERS)}
        </span>
      ))}
    </span>
  );
}
