import { describe, expect, it } from 'vitest';
import type { Figures } from './figures.ts';
import { isDisturbed, leastDisturbed } from './quiet.ts';

/** Measures shares of other work as given, one after the other, and counts how often it did and was told to wait. */
async function measuring(attempts: number, shares: readonly number[]): Promise<{ share: number; log: string }> {
  let log = '';
  const rest = [...shares];
  const measure = async (): Promise<Figures> => {
    log += 'm';
    return { otherCpuShare: rest.shift()! };
  };
  const quiet = async (): Promise<void> => {
    log += 'q';
  };
  const figures = await leastDisturbed(attempts, measure, quiet);
  return { share: figures.otherCpuShare!, log };
}

describe('leastDisturbed', () => {
  it('is content with an undisturbed run', async () => {
    expect(await measuring(3, [0.02])).toEqual({ share: 0.02, log: 'qm' });
  });

  it('repeats a disturbed run, waiting before each', async () => {
    expect(await measuring(3, [0.9, 0.4, 0.01])).toEqual({ share: 0.01, log: 'qmqmqm' });
  });

  it('gives the least disturbed run when all were', async () => {
    expect(await measuring(3, [0.9, 0.4, 0.6])).toEqual({ share: 0.4, log: 'qmqmqm' });
  });

  it('calls no run disturbed that cannot know', () => {
    expect([isDisturbed({}), isDisturbed({ otherCpuShare: 0.5 })]).toEqual([false, true]);
  });
});
