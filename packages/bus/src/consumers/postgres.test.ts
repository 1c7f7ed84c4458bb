import { afterAll, beforeAll, describe } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../test/fixtures/private-postgres.ts';
import { createPostgresEngine } from '../engine/postgres/postgres.ts';
import { type Backend, groupsSuite } from './groups.suite.ts';
import { onEnd } from './rig.suite.ts';

describe.runIf(hasPostgres())('with a Postgres server', () => {
  let server: PrivatePostgres;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
  }, 60_000);
  afterAll(() => server.stop());

  async function open(): Promise<Backend> {
    const url = await server.freshSchema();
    onEnd(() => server.dropSchema(url));
    return { engine: (nodeId) => createPostgresEngine({ url, nodeId }) };
  }

  groupsSuite('two nodes on postgres', open, 2);
});
