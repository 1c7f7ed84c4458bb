import { onPostgres } from '../consumers/on-postgres.suite.ts';
import { streamsSuite } from './streams.suite.ts';

onPostgres(streamsSuite);
