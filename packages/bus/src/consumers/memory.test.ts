import { createMemoryEngine } from '../engine/memory/memory.ts';
import { groupsSuite } from './groups.suite.ts';

groupsSuite('memory', async () => ({ engine: () => createMemoryEngine() }), 1);
