import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { sentenceOf } from '../session/session.ts';
import { Button } from './parts.tsx';

interface Toast {
  readonly id: number;
  readonly tone: 'good' | 'bad';
  readonly text: string;
  readonly undo?: () => void;
}

/** How long success messages stay, without and with an undo button, milliseconds. Failures stay until closed. */
const STAY_MS = 4_000;
const UNDO_MS = 15_000;
const MAX_TOASTS = 4;

const toasts = signal<readonly Toast[]>([]);
let ids = 0;

function close(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

function show(toast: Omit<Toast, 'id'>): void {
  ids += 1;
  const id = ids;
  toasts.value = [...toasts.value, { ...toast, id }].slice(-MAX_TOASTS);
  if (toast.tone === 'good') setTimeout(() => close(id), toast.undo === undefined ? STAY_MS : UNDO_MS);
}

/**
 * Runs an action and reports the outcome.
 *
 * @param done the success message
 * @param undo reverts the action
 */
export async function act<T>(
  run: () => Promise<T>,
  done: string | ((result: T) => string),
  undo?: () => void,
): Promise<void> {
  try {
    const result = await run();
    const text = typeof done === 'string' ? done : done(result);
    show({ tone: 'good', text, ...(undo === undefined ? {} : { undo }) });
  } catch (error) {
    show({ tone: 'bad', text: sentenceOf(error) });
  }
}

/** Copies a text to the clipboard, and reports it. */
export function copy(text: string, what: string): void {
  void act(() => navigator.clipboard.writeText(text), `${what} copied.`);
}

export function Toasts(): VNode {
  return (
    <div class="toasts" aria-live="polite">
      {toasts.value.map(({ id, tone, text, undo }) => (
        <div key={id} class={`note ${tone}`}>
          <div class="row">
            <span style={{ flex: '1' }}>{text}</span>
            {undo !== undefined && (
              <Button
                small
                onClick={() => {
                  close(id);
                  undo();
                }}
              >
                Undo
              </Button>
            )}
            <Button small tone="plain" label="Close this message" onClick={() => close(id)}>
              ✕
            </Button>
          </div>
        </div>
      ))}
    </div>
  );
}
