import type { Dialect } from '../peers/peer.ts';
import type { Arrivals } from './arrivals.ts';
import type { Faults } from './faults.ts';

/** A publisher expects no messages: anything it receives is a refusal, or a reply of the protocol. */
export function publisherArrivals(dialect: Dialect, faults: Faults): Arrivals {
  return {
    every: 1,
    inspect: (_ordinal, bytes, start, end) =>
      faults.fault(`the publisher was told: ${bytes.toString('latin1', start, end)}`),
    arrived: () => {},
    aside: (text) => {
      const { refusal } = dialect;
      if (refusal !== undefined && text.includes(refusal)) faults.fault(`the publisher was told: ${text}`);
    },
  };
}
