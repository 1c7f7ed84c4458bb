import { effect, signal } from '@preact/signals';

export type Theme = 'dark' | 'light';

const STORED = 'arqonbus.theme';

/** The chosen theme, or the system's preference. */
export const theme = signal<Theme>(first());

effect(() => {
  document.documentElement.dataset.theme = theme.value;
});

export function toggleTheme(): void {
  theme.value = theme.value === 'dark' ? 'light' : 'dark';
  localStorage.setItem(STORED, theme.value);
}

function first(): Theme {
  const stored = localStorage.getItem(STORED);
  if (stored === 'dark' || stored === 'light') return stored;
  return matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
}
