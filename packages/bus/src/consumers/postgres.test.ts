import { groupsSuite } from './groups.suite.ts';
import { onPostgres } from './on-postgres.suite.ts';

onPostgres(groupsSuite);
