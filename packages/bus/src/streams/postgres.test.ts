import { afterAll, beforeAll, describe } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../test/fixtures/private-postgres.ts';
import type { Backend } from '../consumers/groups.suite.ts';
import { onEnd } from '../consumers/rig.suite.ts';
import { createPostgresEngine } from '../engine/postgres/postgres.ts';
import { streamsSuite } from './streams.suite.ts';

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

  streamsSuite('two nodes on postgres', open, 2);
});
