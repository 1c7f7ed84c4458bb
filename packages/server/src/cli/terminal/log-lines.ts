import { Writable } from 'node:stream';
import { lines, paint, type Style, StyledText, text } from './styled-text.ts';
import { timeOfDay } from './time.ts';
import { write } from './writer.ts';

const STYLES: ReadonlyMap<unknown, Style> = new Map([
  ['debug', 'dim'],
  ['info', 'green'],
  ['warn', 'yellow'],
  ['error', 'red'],
  ['fatal', 'red'],
]);

/** The server's log on a terminal: converts JSON to readable lines. */
export function terminalLog(): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      write(process.stderr, text`${logLine(String(chunk))}\n`);
      done();
    },
  });
}

/** One log entry as readable text: time, level, message, fields; an error's stack follows on separate lines. */
export function logLine(json: string): StyledText {
  const { level, time, msg, err, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const shown = Object.keys(fields).length === 0 ? '' : text`  ${paint('dim', StyledText.json(fields))}`;
  const name = (typeof level === 'string' ? level : '?').toUpperCase().padEnd(5);
  const head = text`${paint('dim', timeOfDay(time))} ${paint(STYLES.get(level) ?? 'dim', name)} ${StyledText.from(msg ?? '')}${shown}`;
  return err === undefined ? head : lines([head, ...stackOf(err).map((line) => text`    ${paint('dim', line)}`)]);
}

function stackOf(error: unknown): string[] {
  const { stack, message } = Object(error) as Readonly<Record<string, unknown>>;
  const told = [stack, message].find((part) => typeof part === 'string');
  return (told === undefined ? JSON.stringify(error) : String(told)).split('\n').map((line) => line.trim());
}
