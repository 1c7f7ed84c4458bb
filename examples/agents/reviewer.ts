import type { ArqonBusClient } from '@arqonbus/client';
import type { Report } from './place.ts';

/** Reads the mail of a reviewer: what it approves is handled, and what it refuses is rejected; the sender is told which. */
export async function review(client: ArqonBusClient, tell: (verdict: string) => void): Promise<void> {
  await client.mailbox<Report>({
    onMessage: async (report) => {
      const problem = problemOf(report.payload);
      tell(problem === undefined ? 'approves: the one that rose has its controls' : `refuses: ${problem}`);
      if (problem !== undefined) await report.reject(problem);
    },
  });
}

/** Stands in for a language model; put a call to yours in its place. */
function problemOf({ results }: Report): string | undefined {
  if (!results.some(({ rises }) => rises)) return 'no dough rose';
  if (results.every(({ rises }) => rises)) return 'there is no control';
  return undefined;
}
