import { onPostgres } from '../consumers/on-postgres.suite.ts';
import { mailSuite } from './mail.suite.ts';

onPostgres(mailSuite);
