import { codeThatAssigns, harmlessAssignment, proseWithColon } from './assignments.ts';
import { codeSample, documentSample, nearKey } from './harmless-texts.ts';
import { ALPHANUMERIC, BASE64, BASE64URL, DIGITS, HEX, LOWER, type Random, UPPER } from './random.ts';

/** Makes a harmless payload value of one kind: a text, or an object where the names of fields are the point. */
export type HarmlessKind = (random: Random) => unknown;

function sentence(random: Random): string {
  return random.pick([
    `The secret of good ${random.pick(['bread', 'coffee', 'code', 'sleep'])} is ${random.words(3)}.`,
    `A token ring network passes one token from ${random.words(1)} to ${random.words(1)}.`,
    `Please reset your password within ${random.int(2, 48)} hours; the link goes to ${random.words(2)}.`,
    `Each token costs ${random.int(1, 90)} cents, ${random.int(100, 9_999)} tokens were used by ${random.words(1)}.`,
    `The bearer of this letter may enter the ${random.words(1)} at ${random.int(8, 20)}:00.`,
    `Passwords must have at least ${random.int(8, 16)} characters, a digit and a symbol.`,
    `Error ${random.int(400, 499)}: invalid token, expected a key but got ${random.words(1)}.`,
    `Two-factor secrets are kept apart from passwords: see section ${random.int(1, 20)}.${random.int(1, 9)}.`,
    `Basic authentication is a bad idea for ${random.words(2)}, bearer authentication is better.`,
    `Keep the api key in the vault; never put the api_key or client_secret into ${random.words(2)}.`,
    `password: ${random.pick(['required', 'optional', '********', '<hidden>', 'changeme', '[redacted]'])}, then ${random.words(2)}`,
  ]);
}

function log(random: Random): string {
  const [time, host] = [random.timestamp(), `${random.words(1)}-${random.text(10, LOWER)}-${random.text(5, LOWER)}`];
  return random.pick([
    `${time} INFO [${host}] request ${random.uuid()} GET /api/${random.words(1)}/${random.int(1, 99_999)} 200 ${random.int(1, 900)}ms`,
    `${time} WARN token refresh for session ${random.uuid()} took ${random.int(100, 9_000)} ms`,
    `${random.int(1, 255)}.${random.int(0, 255)}.0.1 - - [10/Oct/2030:13:55:36 +0000] "POST /login HTTP/1.1" 302 ${random.int(0, 9_999)} "-" "Mozilla/5.0"`,
    `level=error ts=${time} caller=auth.go:${random.int(1, 900)} msg="password mismatch" user_id=${random.int(1, 99_999)} trace_id=${random.text(32, HEX)}`,
    `kubelet[${random.int(100, 9_999)}]: pulled image registry.example/${random.words(1)}@sha256:${random.text(64, HEX)}`,
    `commit ${random.text(40, HEX)} (HEAD -> ${random.words(1)}) ${random.words(4)}`,
    `traceparent: 00-${random.text(32, HEX)}-${random.text(16, HEX)}-01`,
  ]);
}

function address(random: Random): string {
  return random.pick([
    `https://example.com/${random.words(1)}?utm_source=${random.words(1)}&id=${random.uuid()}&page=${random.int(1, 90)}`,
    `https://cdn.example.com/assets/${random.words(1)}.${random.text(8, HEX)}.js`,
    `postgres://localhost:${random.int(1_024, 65_535)}/app`,
    `postgres://user:password@localhost/${random.words(1)}`,
    `redis://:\${REDIS_PASSWORD}@cache:6379/0`,
    `ssh://git@host.example:${random.int(22, 9_999)}/team/${random.words(1)}.git`,
    `arn:aws:s3:::${random.words(1)}-${random.text(8, LOWER)}/logs/${random.int(2_000, 2_030)}/file.json`,
    `https://user@host.example:${random.int(1, 9_999)}/a:b@c`,
    `mailto:${random.words(1)}@example.com?subject=${random.words(1)}`,
    `/usr/share/patterns/key-${random.text(6, LOWER)}/pat.txt`,
  ]);
}

/** Fields whose names are near those of secrets. */
function nearField(random: Random): unknown {
  return random.pick<() => unknown>([
    () => ({ token: random.pick(['Hello', ' the', 'ing', '!', 'world', 'ring']), index: random.int(0, 900) }),
    () => ({ tokens: [random.words(1), random.words(1), random.words(1)] }),
    () => ({ max_tokens: random.int(1, 9_000), token_count: random.int(1, 9_000), tokenizer: 'cl100k_base' }),
    () => ({ nextPageToken: random.text(24, BASE64URL), items: [] }),
    () => ({ continuation_token: random.text(40), page_token: random.text(12) }),
    () => ({
      password: random.pick([
        '',
        '***',
        '********',
        '<password>',
        'changeme',
        `\${DB_PASSWORD}`,
        '{{ password }}',
        '[REDACTED]',
      ]),
    }),
    () => ({
      api_key: random.pick([
        'your-api-key',
        'YOUR_API_KEY',
        '<api key>',
        'xxxxxxxx',
        '$API_KEY',
        'null',
        'env:API_KEY',
      ]),
    }),
    () => ({
      password_policy: 'at least 12 characters',
      passwordResetUrl: 'https://example.com/reset',
      password_changed_at: random.timestamp(),
    }),
    () => ({ public_key: random.text(44, BASE64), key: random.text(16), keyId: random.uuid(), primary_key: 'id' }),
    () => ({ secret_name: `prod/${random.words(1)}`, secretVersion: random.int(1, 9), is_secret: true }),
    () => ({ auth: random.pick(['none', 'oauth2', 'basic', 'bearer']), authorization: 'required', authorized: true }),
    () => ({ has_password: false, password: true, token: null, secret: random.int(0, 9) }),
    () => ({ secret: `the secret of ${random.words(2)}`, token: random.words(1) }),
    () => ({ type: 'object', properties: { password: { type: 'string', minLength: 8 }, token: { type: 'string' } } }),
  ])();
}

/** Objects whose names are data: words, ids, addresses, paths. */
function names(random: Random): unknown {
  const name = (): string =>
    random.pick([random.words(2), random.uuid(), String(address(random)), random.timestamp(), identifiers(random)]);
  return { byName: Object.fromEntries(Array.from({ length: random.int(1, 6) }, () => [name(), random.int(0, 99)])) };
}

function identifiers(random: Random): string {
  return random.pick([
    random.uuid(),
    random.text(40, HEX),
    `sha256:${random.text(64, HEX)}`,
    `sha512-${random.text(86, BASE64)}==`,
    `md5 ${random.text(32, HEX)}`,
    `W/"${random.text(27, BASE64)}="`,
    `01H${random.text(23, 'ABCDEFGHJKMNPQRSTVWXYZ0123456789')}`,
    `arq_client_${random.text(26, LOWER)}`,
    `ord_${random.text(24)} pi_${random.text(24)} cus_${random.text(14)} pk_live_${random.text(24)}`,
    `req-${random.text(8, HEX)}-${random.text(4, HEX)} build-${random.int(1, 99_999)} key-value-store-${random.int(1, 99)}`,
    `${random.text(2, HEX)}:${random.text(2, HEX)}:${random.text(2, HEX)}:${random.text(2, HEX)}:${random.text(2, HEX)}:${random.text(2, HEX)}`,
    `fe80::${random.text(4, HEX)}:${random.text(4, HEX)}:${random.text(4, HEX)}:${random.text(4, HEX)}`,
    `+49 ${random.text(3, DIGITS)} ${random.text(7, DIGITS)}, DE${random.text(20, DIGITS)}`,
    `i-0${random.text(16, HEX)} vpc-${random.text(8, HEX)} ami-${random.text(17, HEX)} AC${random.text(32, UPPER)}`,
  ]);
}

export const HARMLESS_KINDS: Readonly<Record<string, HarmlessKind>> = {
  'prose about tokens, secrets, passwords': (random) => [sentence(random), sentence(random)].join(' '),
  'log lines': log,
  'addresses and paths': address,
  'ids, hashes, numbers': identifiers,
  'base64 images': (random) =>
    `data:image/${random.pick(['png', 'jpeg', 'webp'])};base64,${random.bytes(random.int(300, 3_000)).toString('base64')}`,
  'base64 of text': (random) => Buffer.from(random.words(random.int(6, 30))).toString('base64'),
  'bytes in hexadecimal': (random) => random.bytes(random.int(64, 600)).toString('hex'),
  'fields named nearly like secrets': nearField,
  'names that are data': names,
  code: codeSample,
  'documents, configuration, certificates': documentSample,
  'assignments of placeholders': harmlessAssignment,
  'prose with a colon or an equals sign': proseWithColon,
  'code that takes secrets from elsewhere': codeThatAssigns,
  'samples and near misses of keys': nearKey,
  'random text without meaning': (random) =>
    Array.from({ length: 12 }, () => random.text(random.int(3, 30), ALPHANUMERIC)).join(' '),
  measurements: (random) => ({
    sensor: `s-${random.text(6, HEX)}`,
    values: Array.from({ length: 12 }, () => random.int(-5_000, 5_000) / 100),
    at: random.timestamp(),
  }),
};
