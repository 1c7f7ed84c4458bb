import { effect, signal } from '@preact/signals';
import { type Moment, Samples } from '../model/samples.ts';
import { askText } from './http.ts';
import { phase } from './session.ts';

const EVERY_MS = 2_000;

/** The samples of the last quarter of an hour, while the page was open. */
export const moments = signal<readonly Moment[]>([]);

/** Samples metrics while signed in, independent of the open view. */
export function startSampling(): void {
  let samples = new Samples(EVERY_MS / 1000);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOn = false;
  const read = async (): Promise<void> => {
    const started = performance.now();
    const mine = samples;
    try {
      const text = await askText('metrics');
      mine.add(Date.now() / 1000, text);
    } catch {
      mine.miss(Date.now() / 1000);
    }
    if (!isOn || mine !== samples) return;
    moments.value = mine.all;
    timer = setTimeout(read, Math.max(250, EVERY_MS - (performance.now() - started)));
  };
  effect(() => {
    const wanted = phase.value === 'open' || phase.value === 'away';
    if (wanted === isOn) return;
    isOn = wanted;
    clearTimeout(timer);
    if (!wanted) {
      samples = new Samples(EVERY_MS / 1000);
      moments.value = [];
    } else void read();
  });
}
