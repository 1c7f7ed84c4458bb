import { createMemoryEngine } from '../engine/memory/memory.ts';
import { streamsSuite } from './streams.suite.ts';

streamsSuite('memory', async () => ({ engine: () => createMemoryEngine() }), 1);
