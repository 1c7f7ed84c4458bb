import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from './parts.tsx';

const isHelpOpen = signal(false);

const KEYS: readonly (readonly [key: string, does: string])[] = [
  ['/', 'search in this view'],
  ['j', 'next entry'],
  ['k', 'the entry before'],
  ['Enter', 'open the entry'],
  ['p', 'pause, or go on'],
  ['Esc', 'close, or leave a field'],
  ['?', 'this list'],
];

/** Page-wide keyboard shortcuts; not active inside fields. */
export function useKeyboard(): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { target } = event;
      const isField = target instanceof HTMLElement && target.matches('input, textarea, select');
      if (isField) {
        if (event.key === 'Escape') target.blur();
        return;
      }
      if (!does(event.key)) return;
      event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

function does(key: string): boolean {
  switch (key) {
    case '/': {
      const field = document.querySelector<HTMLElement>('[data-search]');
      field?.focus();
      return field !== null;
    }
    case 'j':
      return step(1);
    case 'k':
      return step(-1);
    case 'p': {
      const button = document.querySelector<HTMLElement>('[data-pause] button');
      button?.click();
      return button !== null;
    }
    case '?':
      isHelpOpen.value = !isHelpOpen.value;
      return true;
    default:
      return false;
  }
}

function step(by: number): boolean {
  const items = [...document.querySelectorAll<HTMLElement>('[data-item]')];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? (by > 0 ? items[0] : items.at(-1)) : items[at + by];
  next?.focus();
  return items.length > 0;
}

export function KeyboardHelp(): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const { value: isOpen } = isHelpOpen;
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  const close = (): void => {
    isHelpOpen.value = false;
  };
  return (
    <dialog ref={dialog} aria-label="Keys" onClose={close}>
      <div class="panel-head">
        <h2>Keys</h2>
        <Button small onClick={close}>
          Close
        </Button>
      </div>
      <div class="panel-body">
        <table class="table">
          <tbody>
            {KEYS.map(([key, what]) => (
              <tr key={key}>
                <td class="tight">
                  <kbd>{key}</kbd>
                </td>
                <td>{what}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </dialog>
  );
}

export function openHelp(): void {
  isHelpOpen.value = true;
}
