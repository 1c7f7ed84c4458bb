import type { Acked } from './publisher.ts';

/**
 * Acks that should have had `duplicate`: the message was resent when its sender already knew a later position in the
 * channel, yet its own position is before that. So it had been stored before the resend.
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
