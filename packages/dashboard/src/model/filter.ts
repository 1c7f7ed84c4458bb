import type { Envelope } from '@arqonbus/protocol';

/** The filter of a tail; empty texts match everything. */
export interface Filter {
  /** Anywhere in the payload, case-insensitive. */
  readonly text: string;
  readonly type: string;
  /** In the sender's name, subject or client id. */
  readonly sender: string;
  /** `order.id` (exists) or `order.id=42`, in the payload. */
  readonly path: string;
}

export const EVERYTHING: Filter = { text: '', type: '', sender: '', path: '' };

/** Characters of a payload that are searched for a text. */
const SEARCHED = 65_536;

/** Compiles a filter to a predicate. */
export function matcher({ text, type, sender, path }: Filter): (envelope: Envelope) => boolean {
  const [wanted, name] = [text.trim().toLowerCase(), sender.trim().toLowerCase()];
  const isAt = pathMatcher(path.trim());
  return (envelope) => {
    if (type !== '' && envelope.type !== type) return false;
    if (name !== '' && !sendersOf(envelope).some((one) => one.toLowerCase().includes(name))) return false;
    if (!isAt(envelope.payload)) return false;
    return wanted === '' || JSON.stringify(envelope.payload).slice(0, SEARCHED).toLowerCase().includes(wanted);
  };
}

function sendersOf({ from, metadata }: Envelope): string[] {
  const { name, subject } = metadata?.sender ?? {};
  return [from, name, subject].filter((one) => typeof one === 'string');
}

function pathMatcher(path: string): (payload: unknown) => boolean {
  if (path === '') return () => true;
  const at = path.indexOf('=');
  const keys = (at < 0 ? path : path.slice(0, at)).split('.').map((key) => key.trim());
  const wanted = at < 0 ? undefined : path.slice(at + 1).trim();
  return (payload) => {
    let value: unknown = payload;
    for (const key of keys) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false;
      value = (value as Record<string, unknown>)[key];
    }
    return wanted === undefined || String(value) === wanted || JSON.stringify(value) === wanted;
  };
}
