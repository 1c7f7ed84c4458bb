import { format } from 'node:util';
import { crash, fail } from './exit.ts';
import { createProgram } from './program.ts';
import { stopOnClosedPipe } from './stop.ts';
import { remark, warn } from './terminal/output.ts';

stopOnClosedPipe();
// Escapes what Node and libraries print, since it may contain text from a server.
process.on('uncaughtException', crash);
process.removeAllListeners('warning').on('warning', ({ message }) => warn(message));
for (const level of ['debug', 'log', 'info', 'warn', 'error'] as const) {
  const severity = level === 'warn' || level === 'error' ? level : 'info';
  console[level] = (...words: unknown[]) => remark(format(...words), [], severity);
}
createProgram().parseAsync().catch(fail);
