import { describe, expect, it } from 'vitest';
import { secretDetector } from './secrets.ts';

/** What is found in a text by the name before it. */
function assignedIn(text: string): string[] {
  const found: string[] = [];
  secretDetector().detect(text, text.length, (rule, start, end) => {
    if (rule.named === true) found.push(text.slice(start, end));
    return true;
  });
  return found;
}

const VALUE = 'q8Zr2LpX7vNc';

describe('a value assigned to the name of a secret', () => {
  it.each([
    ['a log', 'time=12:00 level=info msg="leaked" api_key=VALUE user=7'],
    ['a log with colons', 'INFO auth - client_secret: VALUE (rotated)'],
    ['a .env file', 'PORT=8080\nDB_PASSWORD=VALUE\nDEBUG=1'],
    ['YAML', 'db:\n  user: app\n  password: VALUE\n'],
    ['YAML, quoted', 'db:\n  password: "VALUE"\n'],
    ['YAML, in a block', 'db:\n  password: |\n    VALUE\n'],
    ['an INI file', '[db]\npassword = VALUE\n'],
    ['a TOML file', '[db]\naccess-token = "VALUE"\n'],
    ['Java properties', 'spring.datasource.password=VALUE'],
    ['JSON', '{"user":"app","apiKey":"VALUE"}'],
    ['JSON in a string of JSON', '{\\"user\\":\\"app\\",\\"api_key\\": \\"VALUE\\"}'],
    ['a shell', 'export ApiToken=VALUE'],
    ['another shell', 'setenv DB_PASSWORD VALUE'],
    ['PowerShell', '$env:API_KEY = "VALUE"'],
    ['a flag', 'deploy --region eu --db-password=VALUE --yes'],
    ['a flag and its value', 'deploy --region eu --db-password VALUE --yes'],
    ['a quoted flag', "deploy --token 'VALUE'"],
    ['a header', 'X-Api-Key: VALUE\r\nHost: api.example'],
    ['a form', 'user=app&password=VALUE&remember=1'],
    ['XML', '<credentials><password>VALUE</password></credentials>'],
    ['code', 'const secretKey = "VALUE";'],
    ['Go', 'password := "VALUE"'],
    ['PHP', "'client_secret' => 'VALUE',"],
    ['words', 'API key: VALUE'],
    ['capitals', 'ACCESS_TOKEN=VALUE'],
    ['mixed case', 'Pwd=VALUE'],
    ['dots', 'auth.refresh.token=VALUE'],
  ])('is found in %s', (_where, text) => {
    expect(new Set(assignedIn(text.replace('VALUE', VALUE)))).toEqual(new Set([VALUE]));
  });

  it.each(['hunter2', '493021', 'Tr0ub4dor3xyzQ9', 'summer-1234', 'p@$$w0rd!x', '8f14e45fceea167a5a36dedd4bea2543'])(
    'is found when it is a password such as %s',
    (password) => {
      expect(assignedIn(`password=${password}`)).toEqual([password]);
    },
  );

  it('is found a thousand times over', () => {
    expect(assignedIn(`password=${VALUE} `.repeat(1_000))).toHaveLength(1_000);
  });
});

describe('what only looks like an assigned secret', () => {
  it.each([
    'the secret of good bread is time',
    'a password: think of a long one',
    'Password: use at least 12 characters',
    'password: required, then the name',
    'password: ********',
    `password = \${DB_PASSWORD}`,
    `api_key=\${API_KEY}`,
    'api_key=changeme',
    'set client_secret=<your secret>',
    'password: {{ vault_password1 }}',
    'password: %DB_PASSWORD1%',
    'password: env:DB_PASSWORD1',
    'password=$(pass show db1)',
    'deploy --password <PASSWORD1> --token $TOKEN1',
    '--password-file /run/secrets/db1',
    'PWD=/home/user1/work',
    'max_tokens=4096',
    'tokens: 1234567890',
    'token: 1234567890',
    'password: 8, then a symbol',
    'nextPageToken=CAUQAA1b2c3d4',
    'password_hash: q8Zr2LpX7vNc',
    'secretName: q8Zr2LpX7vNc',
    'token: my-app-token-v2',
    'token: 2030-01-01T00:00:00Z',
    'type Credentials = { secretKey: Uint8Array; token: string }',
    'password = sha256(salt + word)',
    'token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)',
    'api_key = settings.OPENAI_API_KEY_2',
    'token = uuid.uuid4().hex',
    'if (token === undefined) throw new Error("token1")',
    'SELECT id FROM users WHERE password = :password1',
    'WWW-Authenticate: Bearer realm="api", error="invalid_token"',
    'bypass=q8Zr2LpX7vNc',
  ])('%s', (text) => {
    expect(assignedIn(text)).toEqual([]);
  });
});
