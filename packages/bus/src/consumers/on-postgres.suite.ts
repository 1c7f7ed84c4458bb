import { afterAll, beforeAll, describe } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../test/fixtures/private-postgres.ts';
import { createPostgresEngine } from '../engine/postgres/postgres.ts';
import type { Backend } from './groups.suite.ts';

/** Runs a suite over two nodes on one Postgres server of the file's own, with a fresh schema for each bus. */
export function onPostgres(suite: (name: string, open: () => Promise<Backend>, nodes: 2) => void): void {
  describe.runIf(hasPostgres())('with a Postgres server', () => {
    let server: PrivatePostgres;

    beforeAll(async () => {
      server = await PrivatePostgres.start();
    }, 60_000);
    afterAll(() => server.stop());

    async function open(): Promise<Backend> {
      // It goes with the server.
      const url = await server.freshSchema();
      return { engine: (nodeId) => createPostgresEngine({ url, nodeId }) };
    }

    suite('two nodes on postgres', open, 2);
  });
}
