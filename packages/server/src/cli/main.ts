import { fail } from './exit.ts';
import { createProgram } from './program.ts';
import { stopOnClosedPipe } from './stop.ts';

stopOnClosedPipe();
createProgram().parseAsync().catch(fail);
