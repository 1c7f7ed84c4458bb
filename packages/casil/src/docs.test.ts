import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { BusError, CasilSettings, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Casil, casil } from './casil.ts';
import { explain } from './explain.ts';
import { casilMetadata, type Inspected, inspect, redactForObservability, type Verdict } from './inspect.ts';
import { CERTAIN, HARMLESS, POSSIBLE } from './keys.ts';
import { compilePolicy, type Policy } from './policy.ts';
import { SECRET_RULES } from './secrets.ts';
import { DEFAULT_CASIL_SETTINGS } from './settings.ts';

/*
 * Runs the examples of docs/casil. A fenced block says in its first line what it is:
 *
 *   json policy            settings over the defaults, enabled; `json policy refused` are settings with faults
 *   sh env, yaml file      the same as variables and as a file; with `same` they must equal what was before
 *   json payload           what is inspected; `room=`, `channel=` and `type=` may follow
 *   json message           the same with all its parts; `secret=` lists the paths of what is meant to hold secrets
 *   json outcome           what came of the last message, as far as it is stated
 *   json explanation, metadata, telemetry   other views of it
 *   json reload            arguments of op.casil.reload by the admin of a tenant
 *   json snapshot          its answer, or with `tenant=` what another tenant sees
 *   json faults            beginnings of the messages
 */
const FOLDER = new URL('../../../docs/casil/', import.meta.url);
const BLOCK = /^```(\S+) (\w+)([^\n]*)\n([\s\S]*?)^```$/gm;

interface Block {
  readonly kind: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly body: string;
  readonly line: number;
}

function pageNamed(name: string): string {
  return readFileSync(new URL(name, FOLDER), 'utf8');
}

function blocksOf(page: string): Block[] {
  return [...page.matchAll(BLOCK)].map(([, language, name, rest, body], i, all) => ({
    kind: `${language} ${name}`,
    attributes: Object.fromEntries(
      rest!
        .trim()
        .split(' ')
        .filter(Boolean)
        .map((part) => {
          const [key, value = 'true'] = part.split('=');
          return [key, value];
        }),
    ),
    body: body!.replace(/\{\{([a-z_]+)\}\}/g, (_, id: string) => exampleOf(id)),
    line: page.slice(0, [...all][i]!.index).split('\n').length,
  }));
}

function exampleOf(id: string): string {
  const rule = SECRET_RULES.find((candidate) => candidate.id === id);
  if (rule === undefined) throw new Error(`no rule ${id}`);
  return rule.example;
}

/** Reads one value as the server's configuration does. */
function fromVariable(name: keyof CasilSettings, text: string): unknown {
  const like = DEFAULT_CASIL_SETTINGS[name];
  if (Array.isArray(like)) return text.startsWith('[') ? JSON.parse(text) : text.split(',');
  if (typeof like === 'boolean') return text === 'true';
  return typeof like === 'number' ? Number(text) : text;
}

function fromEnvironment(body: string): Partial<CasilSettings> {
  const lines = body.trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [, variable, value] = /^ARQONBUS_CASIL_([A-Z_]+)=(.*)$/.exec(line)!;
      const name = variable!.toLowerCase() as keyof CasilSettings;
      expect(DEFAULT_CASIL_SETTINGS).toHaveProperty(name);
      return [name, fromVariable(name, value!)];
    }),
  );
}

function fromFile(body: string): Partial<CasilSettings> {
  const { casil } = parse(body) as { casil: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(casil).map(([key, value]) => {
      const name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      expect(DEFAULT_CASIL_SETTINGS).toHaveProperty(name);
      return [name, value];
    }),
  );
}

function expectFaults(faults: readonly string[], beginnings: readonly string[]): void {
  expect(faults.map((message, i) => message.slice(0, beginnings[i]?.length))).toEqual(beginnings);
}

function json({ body }: Block): JsonObject {
  return JSON.parse(body) as JsonObject;
}

const TENANT = 'acme';

/** Reads a page from top to bottom, keeping the policy and the message that the next block is about. */
class Reader {
  #given: Partial<CasilSettings> = {};
  #guard: Casil = casil({});
  #subject: Inspected | undefined;
  #faults: readonly string[] = [];

  readonly #kinds: Readonly<Record<string, (block: Block) => void | Promise<void>>> = {
    'json policy': (block) => {
      if (block.attributes.refused === undefined) this.#apply(json(block), block);
      else this.#refuse(json(block));
    },
    'sh env': (block) => this.#apply(fromEnvironment(block.body), block),
    'yaml file': (block) => this.#apply(fromFile(block.body), block),
    'json payload': (block) => {
      this.#subject = subjectOf(json(block), block.attributes);
    },
    'json message': (block) => {
      const secretPaths = block.attributes.secret?.split(',');
      const { room, channel, ...rest } = json(block) as unknown as Inspected;
      this.#subject = { ...rest, room, channel, secretPaths };
    },
    'json outcome': (block) => this.#outcome(json(block)),
    'json explanation': (block) => expect(explain(this.#policy, this.#subject!)).toMatchObject(json(block)),
    'json metadata': (block) => expect(casilMetadata(this.#verdict())).toEqual(json(block)),
    'json telemetry': (block) => this.#telemetry(json(block)),
    'json reload': (block) => this.#reload(json(block)),
    'json snapshot': (block) => {
      expect(this.#faults).toEqual([]);
      expect(this.#guard.snapshot(block.attributes.tenant ?? TENANT, true)).toMatchObject(json(block));
    },
    'json faults': (block) => expectFaults(this.#faults, json(block) as unknown as string[]),
  };

  async read(block: Block): Promise<void> {
    const run = this.#kinds[block.kind];
    if (run === undefined) throw new Error(`unknown kind of block: ${block.kind}`);
    await run(block);
  }

  get #policy(): Policy {
    return this.#guard.policyOf(TENANT);
  }

  #apply(settings: Partial<CasilSettings>, { attributes }: Block): void {
    if (attributes.same !== undefined) expect(settings).toEqual(this.#given);
    this.#given = settings;
    this.#guard = casil(settings);
  }

  #refuse(settings: Partial<CasilSettings>): void {
    const compiled = compilePolicy({ ...DEFAULT_CASIL_SETTINGS, ...settings });
    expect(compiled.ok).toBe(false);
    this.#faults = compiled.ok ? [] : compiled.faults.map(({ message }) => message);
  }

  async #reload(changes: Partial<CasilSettings>): Promise<void> {
    this.#faults = [];
    try {
      await this.#guard.reload(TENANT, changes, { limited: true });
    } catch (error) {
      const { faults } = (error as BusError).details as { faults: { problem: string }[] };
      this.#faults = faults.map(({ problem }) => problem);
    }
  }

  #verdict(): Verdict {
    return inspect(this.#policy, this.#subject!);
  }

  #outcome(stated: JsonObject): void {
    const verdict = this.#verdict();
    const outcome: JsonObject = {
      ...casilMetadata(verdict),
      rules: verdict.rules,
      in_scope: verdict.inScope,
      delivered: verdict.payload,
      delivered_metadata: verdict.metadata,
      observed: redactForObservability(this.#policy, this.#subject!).payload,
    };
    for (const [name, value] of Object.entries(stated)) expect({ [name]: outcome[name] }).toEqual({ [name]: value });
  }

  #telemetry(stated: JsonObject): void {
    const { client_id: client, message_id: message, ...rest } = stated;
    expect([client, message]).toEqual(['arq_client_…', 'arq_…']);
    const verdict = this.#verdict();
    const { room, channel } = this.#subject!;
    expect(rest).toEqual({ ...casilMetadata(verdict), rules: verdict.rules, room, channel });
  }
}

function subjectOf(payload: JsonObject, { room, channel, type = 'event' }: Block['attributes']): Inspected {
  const place = type === 'private' || type === 'command' ? {} : { room: 'room', channel: 'channel' };
  const named = { room: undefined, channel: undefined, ...place, ...(room === undefined ? {} : { room, channel }) };
  return { type: type as Inspected['type'], payload, ...named };
}

describe.each(readdirSync(FOLDER).filter((name) => name.endsWith('.md')))('docs/casil/%s', (name) => {
  const page = pageNamed(name);

  it('has only examples that are true', async () => {
    const reader = new Reader();
    for (const block of blocksOf(page)) {
      try {
        await reader.read(block);
      } catch (error) {
        throw new Error(`${name}:${block.line} (${block.kind}): ${(error as Error).message}`, { cause: error });
      }
    }
  });

  it('marks every block for this test', () => {
    const fences = page.split('\n').filter((line) => line.startsWith('```')).length;
    expect(blocksOf(page)).toHaveLength(fences / 2);
  });

  it('links only to pages that are there', () => {
    for (const [, target] of page.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(existsSync(new URL(target!, FOLDER)), target).toBe(true);
    }
  });
});

describe('docs/casil/reference.md', () => {
  const page = pageNamed('reference.md');
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, -1),
    );

  it('lists every setting with its names and default, and no other', () => {
    const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const listed = rows.filter((row) => row[1]?.startsWith('`ARQONBUS_CASIL_')).map((row) => row.slice(0, 4));
    const shown = (value: unknown): string => (String(value) === '' ? '' : `\`${value}\``);
    expect(listed).toEqual(
      Object.entries(DEFAULT_CASIL_SETTINGS).map(([name, value]) => [
        `\`${name}\``,
        `\`ARQONBUS_CASIL_${name.toUpperCase()}\``,
        `\`casil.${camel(name)}\``,
        shown(value),
      ]),
    );
  });

  it('lists every rule with its description, and no other', () => {
    const listed = rows.filter((row) => /^`secret:[a-z0-9_]+`$/.test(row[0]!));
    expect(listed).toEqual(SECRET_RULES.map(({ id, description }) => [`\`secret:${id}\``, description]));
  });

  it('lists every sensitive name', () => {
    const flat = page.replaceAll('\n', ' ');
    for (const names of [CERTAIN, POSSIBLE, HARMLESS]) {
      expect(flat).toContain(`ends in: ${names.map((name) => `\`${name}\``).join(', ')}.`);
    }
  });
});
