import type { ArqonBusClient } from '@arqonbus/client';
import type { Report } from './place.ts';

/** Reads the mail of a reviewer. Approved mail is handled, refused mail is rejected, and the sender is notified. */
export async function review(client: ArqonBusClient, tell: (verdict: string) => void): Promise<void> {
  await client.mailbox<Report>({
    onMessage: async (report) => {
      const problem = problemOf(report.payload);
      tell(problem === undefined ? 'approves: the one that rose has its controls' : `refuses: ${problem}`);
      if (problem !== undefined) await report.reject(problem);
    },
  });
}

/** Replaces a language model; call your own model instead. */
function problemOf({ results }: Report): string | undefined {
  if (!results.some(({ rises }) => rises)) return 'no dough rose';
  if (results.every(({ rises }) => rises)) return 'there is no control';
  return undefined;
}
