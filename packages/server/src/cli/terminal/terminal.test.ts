import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Envelope } from '@arqonbus/protocol';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { fail, UsageError } from '../exit.ts';
import { createProgram } from '../program.ts';
import { figures, screen } from '../top/screen.ts';
import { onTerminal } from './capture.suite.ts';
import { envelopeLine } from './envelope-line.ts';
import { logLine } from './log-lines.ts';
import { print, printDocument, printJsonLine, remark } from './output.ts';
import { Progress } from './progress.ts';
import { lines, paint, StyledText, text } from './styled-text.ts';
import { pairs, table } from './table.ts';
import { duration } from './time.ts';
import { clearStatus, drawStatus, hasColours } from './writer.ts';

/** What must not reach a terminal, in ranges of its own. */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\u{e0000}-\u{e007f}]/u;
/** The codes of this program's styles. */
const STYLES = new RegExp(`${'\u001b'}\\[(?:1|2|3[1-6]|22|39)m`, 'g');

/** How a line is drawn over again. */
const RESTART = new RegExp(`\r${'\u001b'}\\[2K`, 'g');

const character = fc.oneof(
  fc.constantFrom(
    ...['\u001b[2J', '\u001b[31m', '\u001b[0m', '\u001b]0;t\u0007', '\u009b31m', '\u009d0;t\u009c', '\r', '\n', '\t'],
    ...[
      '\u202e',
      '\u2066',
      '\u200f',
      '\u061c',
      '\u2028',
      '\u200d',
      '\u200b',
      '\ufeff',
      '\u{e0041}',
      '\ud800',
      '\udc00',
    ],
  ),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const nasty = fc.array(character, { maxLength: 6 }).map((parts) => parts.join(''));
/** Any JSON, whatever a field should hold. */
const value = fc.oneof(
  nasty,
  fc.jsonValue({ noUnicodeString: false }).map(withNasty),
  fc.constantFrom('__proto__', 'constructor'),
);

function withNasty(json: unknown): unknown {
  return { '\u009b2J': json, nested: ['\u202e', { '\u001b': '\u001b[8m' }], toString: '\u001b[2J' };
}

const envelope = fc.record(
  {
    type: value,
    room: value,
    channel: value,
    from: value,
    timestamp: value,
    status: value,
    error: value,
    error_code: value,
    command: value,
    metadata: fc.record({ sequence: value }),
    payload: fc.oneof(value, fc.record({ event: fc.constant('welcome'), client_id: value, role: value })),
  },
  { requiredKeys: [] },
);

/** Holds what `run` writes to a terminal to the rule; returns it without its styles. */
async function requireSafe(run: () => unknown, controls = /(?:)/): Promise<string> {
  const coloured = (await onTerminal(run)).replace(controls, '');
  const plain = (await onTerminal(run, { env: { NO_COLOR: '1' } })).replace(controls, '');
  // Text of others that looks like a style would be in both.
  expect(coloured.replace(STYLES, '')).toBe(plain);
  expect(plain).not.toMatch(UNSAFE);
  return plain;
}

afterEach(() => {
  process.exitCode = undefined;
});

describe('whatever others write, a terminal gets none of its controls', () => {
  it('in an envelope, which stays one line', async () => {
    await fc.assert(
      fc.asyncProperty(envelope, async (any) => {
        const written = await requireSafe(() => print(envelopeLine(any as unknown as Envelope)));
        expect(written.match(/[\n\t]/g)).toEqual(['\n']);
      }),
    );
  });

  it('in JSON, which stays the same JSON', async () => {
    await fc.assert(
      fc.asyncProperty(value, async (any) => {
        const sent = JSON.stringify(any);
        expect(JSON.stringify(JSON.parse(await requireSafe(() => printJsonLine(any))))).toBe(sent);
        expect(JSON.stringify(JSON.parse(await requireSafe(() => printDocument(any))))).toBe(sent);
        const frame = JSON.stringify(any, null, '\t').replaceAll('\n', '\r\n');
        const received = await requireSafe(() => print(StyledText.receivedJson(frame)));
        expect(JSON.stringify(JSON.parse(received))).toBe(sent);
        expect(received.trimEnd()).not.toContain('\n');
      }),
    );
  });

  it('in tables, pairs, remarks, errors and progress', async () => {
    await fc.assert(
      fc.asyncProperty(value, nasty, fc.constantFrom(20, 80), async (any, string, columns) => {
        const cell = any as string;
        const rows = [[cell, string, 1, null]];
        await requireSafe(() => print(table(['A', 'B', 'C', 'D'], rows)));
        await onTerminal(() => print(table(['A', 'B', 'C', 'D'], rows)), { columns });
        await requireSafe(() =>
          print(
            pairs([
              ['a', cell],
              [string, string],
            ]),
          ),
        );
        expect((await requireSafe(() => remark(string, [string]))).match(/\n/g)).toHaveLength(2);
        expect((await requireSafe(() => fail(new Error(string)))).match(/\n/g)).toHaveLength(1);
        expect((await requireSafe(() => fail(new UsageError(string, [string])))).match(/\n/g)).toHaveLength(2);
        await requireSafe(() => fail(any));
        await requireSafe(() => {
          drawStatus(StyledText.from(string));
          clearStatus();
        }, RESTART);
        await requireSafe(() => print(lines([cell, text`${cell}`, paint('red', cell)])));
        await requireSafe(() => print(StyledText.layout(string)));
      }),
    );
  });

  it('in the live view', async () => {
    await fc.assert(
      fc.asyncProperty(nasty, value, async (string, any) => {
        const number = any as number;
        const snapshot = {
          ...{
            time: string,
            version: string,
            node: string,
            uptime_seconds: 1,
            clients: number,
            rooms: number,
            channels: 1,
          },
          ...{ storage: { backend: string, healthy: true }, messages_total: 1, messages_per_second: 1 },
          ...{ deliveries_per_second: 1, latency_ms: { p50: 1, p99: 2 }, casil: { [string]: number } },
          busiest_channels: [{ channel: string, members: number }],
        };
        const event = { eventType: string, timestamp: string, severity: string, payload: { [string]: any } };
        const size = { rows: 40, columns: 60 };
        await requireSafe(() => print(lines(screen(snapshot, [event], '', size))));
        const shown = screen(snapshot, [], string, size);
        await requireSafe(() => print(lines(shown)));
        for (const line of [...shown, ...screen(snapshot, [event], '', size)])
          expect(line.width).toBeLessThanOrEqual(60);
        await requireSafe(() => print(lines(figures(snapshot))));
      }),
    );
  });

  it('in the log of a server', async () => {
    await fc.assert(
      fc.asyncProperty(value, nasty, async (any, string) => {
        const line = {
          level: any,
          time: any,
          msg: any,
          field: any,
          err: { message: string, stack: `${string}\n    at x` },
        };
        await requireSafe(() => print(logLine(JSON.stringify(line))));
      }),
    );
  });

  it('in what is complained of about arguments', async () => {
    await fc.assert(
      fc.asyncProperty(nasty, fc.constantFrom('rooms', 'tail', 'store'), async (string, verb) => {
        for (const args of [[string], [verb, `--${string}`], [verb, '--limit', string], ['casil', 'check', string]]) {
          await requireSafe(() =>
            createProgram()
              .parseAsync(['node', 'arqon', ...args])
              .catch(fail),
          );
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('the command line', () => {
  it('writes to the terminal in one file alone', () => {
    const cli = fileURLToPath(new URL('..', import.meta.url));
    const files = readdirSync(cli, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(?<!\.test|\.suite)\.ts$/.test(name),
    );
    expect(files.length).toBeGreaterThan(30);
    const writing = files.filter((name) => {
      const source = readFileSync(join(cli, name), 'utf8');
      return /\b(?:stdout|stderr|stream)\.(?:write|end)\(|\bconsole\.|\bwriteSync\(|\bprocess\._rawDebug/.test(source);
    });
    expect(writing).toEqual(['terminal/writer.ts']);
  });
});

describe('colours', () => {
  it('come on a terminal alone, and not where NO_COLOR is set', async () => {
    const red = (): unknown => print(paint('red', 'x'));
    expect(await onTerminal(red)).toBe('\u001b[31mx\u001b[39m\n');
    expect(await onTerminal(red, { env: { NO_COLOR: '1' } })).toBe('x\n');
    expect(await onTerminal(red, { env: { TERM: 'dumb' } })).toBe('x\n');
    expect(hasColours({ isTTY: false } as NodeJS.WriteStream)).toBe(false);
  });
});

describe('progress', () => {
  it('gives way to what is printed meanwhile', async () => {
    const written = await onTerminal(() => {
      drawStatus(StyledText.from('1 sent'));
      print('result');
      drawStatus(StyledText.from('2 sent'));
      remark('done');
      clearStatus();
    });
    expect(written).toBe('\r\u001b[2K1 sent\r\u001b[2Kresult\n\r\u001b[2K2 sent\r\u001b[2Karqon: done\n');
  });

  it('is not drawn for what is over at once, nor in a pipe', async () => {
    expect(await onTerminal(() => new Progress('sent').advance())).toBe('');
    expect(process.stderr.isTTY).not.toBe(true);
    drawStatus(StyledText.from('x'));
  });
});

describe('the log of a server on a terminal', () => {
  it('is a line of time, level, message and fields, with the stack of an error below', () => {
    const line = { level: 'warn', time: '2026-01-02T03:04:05.678Z', msg: 'odd', room: 'lab' };
    expect(logLine(JSON.stringify(line)).render(false)).toMatch(/^\d\d:\d\d:05\.678 WARN {2}odd {2}\{"room":"lab"\}$/);
    const failed = { ...line, err: { message: 'no', stack: 'Error: no\n    at somewhere' } };
    expect(logLine(JSON.stringify(failed)).render(false)).toMatch(/\n {4}Error: no\n {4}at somewhere$/);
  });
});

describe('a duration', () => {
  it.each([
    [0, '0s'],
    [59.9, '59s'],
    [60, '1m'],
    [3_661, '1h 1m'],
    [86_400 * 2 + 5, '2d 5s'],
  ])('of %d seconds is %s', (seconds, shown) => {
    expect(duration(seconds)).toBe(shown);
  });
});
