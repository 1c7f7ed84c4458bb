import { describe, expect, it } from 'vitest';
import { SECRET_RULES, secretDetector } from './secrets.ts';

interface Found {
  rule: string;
  text: string;
}

function isNamed(id: string): boolean {
  return SECRET_RULES.find((rule) => rule.id === id)?.named === true;
}

function detect(text: string, length = text.length): Found[] {
  const found: Found[] = [];
  secretDetector().detect(text, length, (rule, start, end) => {
    found.push({ rule: rule.id, text: text.slice(start, end) });
    return true;
  });
  return found;
}

describe('SECRET_RULES', () => {
  it('have ids of their own', () => {
    expect(new Set(SECRET_RULES.map(({ id }) => id)).size).toBe(SECRET_RULES.length);
  });

  it.each(SECRET_RULES.map((rule) => [rule.id, rule] as const))('%s finds its example, and alone does', (id, rule) => {
    for (const text of [rule.example, `before ${rule.example}`, `"${rule.example}"\n`]) {
      expect(detect(text).map((found) => found.rule)).toContain(id);
      // What stands behind a name can have a shape of its own as well.
      const others = detect(text).filter((found) => found.rule !== id && !isNamed(found.rule));
      expect(others).toEqual([]);
    }
  });

  it.each(
    SECRET_RULES.filter((rule) => !rule.touching && rule.lead === undefined).map((rule) => [rule.id, rule] as const),
  )('%s does not begin in the middle of a word', (id, rule) => {
    expect(detect(`x${rule.example}`).map((found) => found.rule)).not.toContain(id);
  });
});

describe('SecretDetector', () => {
  const body = 'aB3dE5fG7hJ9kL1mN3pQ';

  it('leaves the context of a secret out of it', () => {
    expect(detect(`Authorization: Bearer ${body}`)).toEqual([{ rule: 'bearer_token', text: body }]);
    expect(detect(`postgres://app:${body}@db.internal:5432/x`)).toEqual([{ rule: 'connection_string', text: body }]);
    expect(detect(`export DB_PASSWORD="${body}"`)).toEqual([{ rule: 'quoted_assignment', text: body }]);
    expect(detect(`{\\"api_key\\": \\"${body}\\"}`)).toEqual([{ rule: 'quoted_assignment', text: body }]);
  });

  it('takes the whole password of an address, an @ in it included', () => {
    expect(detect('amqp://u:a1b2@c3d4@host/v')).toEqual([{ rule: 'connection_string', text: 'a1b2@c3d4' }]);
  });

  it('takes a private key to its end, or what there is of it', () => {
    const head = `-----BEGIN RSA ${'PRIVATE'} KEY-----\nProc-Type: 4,ENCRYPTED\n\n${body}\n`;
    const tail = `-----END RSA ${'PRIVATE'} KEY-----`;
    expect(detect(`a ${head}${tail} b`).map(({ text }) => text)).toEqual([head + tail]);
    const cut = `-----BEGIN ${'PRIVATE'} KEY-----\n${body}\n${body}`;
    expect(detect(cut).map(({ text }) => text)).toEqual([cut]);
    expect(detect(`-----BEGIN ${'PUBLIC'} KEY-----\n${body}\n-----END ${'PUBLIC'} KEY-----`)).toEqual([]);
  });

  it.each([
    'Bearer authentication is described in RFC 6750, the bearer of the token may use it',
    'postgres://user:password@localhost/db',
    `postgres://app:\${DB_PASSWORD}@db/app`,
    'https://example.com:8080/path?x=1@2',
    'DB_PASSWORD=changeme',
    'API_KEY=<your key here>',
    `TOKEN=\${{ secrets.DEPLOY_TOKEN }}`,
    '{"password":"string","token":"<token>"}',
    'Basic training starts at noon',
    'sk-learn and sk-estimators-with-long-names-for-everything',
    'the path /usr/share/patterns/key-value/pat',
    `sk_live_${'x'.repeat(24)}`,
    'export SLACK_TOKEN=xoxb-your-token-goes-here',
    'WWW-Authenticate: Bearer realm="api", error="invalid_token"',
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
    'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  ])('finds nothing in %s', (text) => {
    expect(detect(text)).toEqual([]);
  });

  it('sees only what comes before the given length', () => {
    const text = `Bearer ${body}${body} Bearer ${body}`;
    expect(detect(text, 30)).toEqual([{ rule: 'bearer_token', text: text.slice(7, 30) }]);
    expect(detect(text, 8)).toEqual([]);
  });

  it('takes a text that was built to exhaust it for a secret, in bounded time', () => {
    const text = '-eyJaaaaaaaaaaaaaaaa'.repeat(20_000);
    const found = detect(text);
    expect(found.length).toBeGreaterThan(0);
    expect(text.endsWith(found.at(-1)!.text)).toBe(true);
  });
});
