import { signal } from '@preact/signals';

/** The decoded path segments after `#/`. */
export const place = signal<readonly string[]>(read());

addEventListener('hashchange', () => {
  place.value = read();
});

function read(): readonly string[] {
  return location.hash
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
}

/** The URL of a view; every segment is encoded. */
export function link(...parts: readonly string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(...parts: readonly string[]): void {
  location.hash = link(...parts);
}
