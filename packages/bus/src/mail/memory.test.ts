import { createMemoryEngine } from '../engine/memory/memory.ts';
import { mailSuite } from './mail.suite.ts';

mailSuite('memory', async () => ({ engine: () => createMemoryEngine() }), 1);
