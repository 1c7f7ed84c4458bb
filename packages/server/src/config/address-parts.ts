type Env = Readonly<Record<string, string | undefined>>;

interface Backend {
  /** The prefix of its variables. */
  readonly prefix: string;
  readonly scheme: string;
  readonly secureScheme: string;
  /** Variables for its database name. */
  readonly database: readonly string[];
  /** Query that requires encryption, for a scheme without a secure variant. */
  readonly secureQuery: string;
}

const BACKENDS: readonly Backend[] = [
  { prefix: 'ARQONBUS_REDIS', scheme: 'redis', secureScheme: 'rediss', database: ['DB'], secureQuery: '' },
  { prefix: 'ARQONBUS_VALKEY', scheme: 'valkey', secureScheme: 'valkeys', database: ['DB'], secureQuery: '' },
  {
    prefix: 'ARQONBUS_POSTGRES',
    scheme: 'postgres',
    secureScheme: 'postgres',
    database: ['DB', 'DATABASE'],
    secureQuery: '?sslmode=require',
  },
];

const PARTS = ['HOST', 'PORT', 'USER', 'PASSWORD', 'PASSWORD_FILE', 'SSL'];
const TRUE = /^(?:true|1|yes|on)$/i;
const FALSE = /^(?:false|0|no|off)?$/i;

/** The variables that give the address of a backend in parts instead of as a URL. */
export const ADDRESS_PARTS: readonly string[] = BACKENDS.flatMap(({ prefix, database }) =>
  [...PARTS, ...database].map((part) => `${prefix}_${part}`),
);

/**
 * The environment with a URL added for each backend whose host is set: `ARQONBUS_REDIS_HOST` and related variables form
 * an `ARQONBUS_REDIS_URL`, unless that is set. Each error is one sentence.
 */
export function withAddresses(env: Env, readFile: (path: string) => string): { env: Env; faults: string[] } {
  const faults: string[] = [];
  const made: Record<string, string> = {};
  for (const backend of BACKENDS) {
    const { prefix } = backend;
    if ((env[`${prefix}_HOST`] ?? '') === '' || (env[`${prefix}_URL`] ?? env[`${prefix}_URL_FILE`] ?? '') !== '')
      continue;
    const address = addressOf(backend, env, readFile);
    if (typeof address === 'string') made[`${prefix}_URL`] = address;
    else faults.push(address.fault);
  }
  return { env: { ...env, ...made }, faults };
}

function addressOf(backend: Backend, env: Env, readFile: (path: string) => string): string | { fault: string } {
  const { prefix, scheme, secureScheme, secureQuery } = backend;
  const given = (part: string): string => env[`${prefix}_${part}`] ?? '';
  const host = given('HOST').trim();
  if (!/^[A-Za-z0-9._:[\]-]{1,255}$/.test(host)) {
    return { fault: `${prefix}_HOST is not a host name or IP address.` };
  }
  const port = given('PORT');
  // Kubernetes sets a variable of this name for a service, with another meaning.
  const ownPort = /^tcp:\/\//.test(port) ? '' : port;
  if (ownPort !== '' && !(/^\d{1,5}$/.test(ownPort) && Number(ownPort) >= 1 && Number(ownPort) <= 65_535)) {
    return {
      fault: `${prefix}_PORT is ${JSON.stringify(port.slice(0, 80))}; expected a whole number from 1 to 65535.`,
    };
  }
  const ssl = given('SSL');
  if (!TRUE.test(ssl) && !FALSE.test(ssl)) {
    return { fault: `${prefix}_SSL is ${JSON.stringify(ssl.slice(0, 80))}; expected true or false.` };
  }
  const password = passwordOf(backend, env, readFile);
  if (typeof password !== 'string') return password;
  const user = encodeURIComponent(given('USER'));
  const login =
    user === '' && password === '' ? '' : `${user}${password === '' ? '' : `:${encodeURIComponent(password)}`}@`;
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const database = backend.database.map(given).find((one) => one !== '') ?? '';
  const at = `${login}${name}${ownPort === '' ? '' : `:${ownPort}`}`;
  const path = database === '' ? '' : `/${encodeURIComponent(database)}`;
  return `${TRUE.test(ssl) ? secureScheme : scheme}://${at}${path}${TRUE.test(ssl) ? secureQuery : ''}`;
}

function passwordOf(
  { prefix }: Backend,
  env: Env,
  readFile: (path: string) => string,
): string | { readonly fault: string } {
  const name = `${prefix}_PASSWORD`;
  const path = env[`${name}_FILE`] ?? '';
  if (path === '') return env[name] ?? '';
  if ((env[name] ?? '') !== '') return { fault: `${name} and ${name}_FILE are both set; set one of them.` };
  try {
    return readFile(path).replace(/\r?\n$/, '');
  } catch {
    return { fault: `The file that ${name}_FILE names cannot be read.` };
  }
}
