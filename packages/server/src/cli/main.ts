import { crash, fail } from './exit.ts';
import { createProgram } from './program.ts';
import { stopOnClosedPipe } from './stop.ts';
import { remark } from './terminal/output.ts';

stopOnClosedPipe();
// Node prints errors and warnings as they are, and their words may be those of a server or a file.
process.on('uncaughtException', crash);
process.removeAllListeners('warning').on('warning', ({ message }) => remark(`warning: ${message}`));
createProgram().parseAsync().catch(fail);
