import type { Acked } from './publisher.ts';

/**
 * Acks that should have said `duplicate`: the message was sent once more when its sender knew already of a later one in
 * the same channel, and yet its place is before that one. So it stood there before it was sent again.
 */
export function untoldDuplicates(acked: readonly Acked[]): string[] {
  return acked
    .filter(({ duplicate, sequence, epoch, stored, known }) => {
      if (duplicate || stored === 'none' || known === undefined) return false;
      return epoch === known.epoch && sequence <= known.sequence;
    })
    .map(({ id, channel, sequence, known }) => {
      return `${id} was sent again after ${channel} ${known?.sequence}, stands at ${sequence}, and was no duplicate`;
    });
}
