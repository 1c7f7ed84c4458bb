import type { Config } from './config.ts';
import { isLoopbackHost, listeners, onLoopbackOnly } from './listeners.ts';

const MIN_SECRET_BYTES = 32;
const MIN_API_KEY_LENGTH = 16;

/**
 * The reasons why this configuration must not start in production, one sentence each; empty in other environments.
 * Checked when a configuration is loaded.
 */
export function preflight(config: Config): string[] {
  return config.environment === 'prod' ? faultsInProduction(config) : [];
}

/** The same checks under `staging`, where they only warn. */
export function rehearsal(config: Config): string[] {
  return config.environment === 'staging' ? faultsInProduction(config) : [];
}

function faultsInProduction(config: Config): string[] {
  const { auth, http, server } = config;
  const faults: string[] = [];
  if (!auth.enabled) faults.push('Under prod authentication must be on: set ARQONBUS_ENABLE_AUTH=true.');
  else if (hasWeakSecret(config)) {
    faults.push(`Under prod ARQONBUS_AUTH_JWT_SECRET must have at least ${MIN_SECRET_BYTES} bytes.`);
  }
  if (fetchesKeysInClear(config)) faults.push('Under prod ARQONBUS_AUTH_JWKS_URL must start with https://.');
  if (!isDurable(config)) {
    faults.push('Under prod storage must be durable: set ARQONBUS_STORAGE_BACKEND to another backend than memory.');
  }
  if (auth.anonymousRole === 'admin') {
    faults.push('Under prod nobody may be admin without authentication: ARQONBUS_ANONYMOUS_ROLE must not be admin.');
  }
  if (http.port !== 'off' && http.apiKey === '' && !auth.enabled) {
    faults.push('Under prod the admin routes need ARQONBUS_HTTP_API_KEY or authentication.');
  }
  if (!isEncrypted(server)) {
    faults.push(
      'Under prod connections must be encrypted: set ARQONBUS_TLS_CERT_FILE and ARQONBUS_TLS_KEY_FILE, ' +
        'or ARQONBUS_BEHIND_TLS_PROXY=true.',
    );
  }
  return faults;
}

/** Security warnings about this configuration, one sentence each, for the banner and the log. */
export function securityWarnings(config: Config): string[] {
  return [...accessWarnings(config), ...exposureWarnings(config), ...browserWarnings(config)];
}

function accessWarnings(config: Config): string[] {
  const { auth, http } = config;
  const local = onLoopbackOnly(config);
  const told: string[] = [];
  if (!auth.enabled) {
    const role = auth.anonymousRole === '' ? (local ? 'admin' : 'user') : auth.anonymousRole;
    const who = local ? 'Every program on this machine' : 'Everybody who can reach this server';
    told.push(`Authentication is off. ${who} has the role ${role}.`);
    if (!local && role === 'admin') told.push('ARQONBUS_ANONYMOUS_ROLE gives strangers every right of an admin.');
  } else if (hasWeakSecret(config)) {
    told.push(`ARQONBUS_AUTH_JWT_SECRET has less than ${MIN_SECRET_BYTES} bytes and could be guessed.`);
  }
  if (auth.enabled && fetchesKeysInClear(config)) {
    told.push('ARQONBUS_AUTH_JWKS_URL is fetched without encryption: whoever can change the answer can sign tokens.');
  }
  if (http.port !== 'off' && http.apiKey === '' && !auth.enabled) {
    told.push(
      isLoopbackHost(http.host)
        ? 'HTTP asks for no key: every program on this machine may use its admin routes.'
        : 'Neither ARQONBUS_HTTP_API_KEY nor authentication is set: most HTTP routes will answer 401.',
    );
  }
  if (http.apiKey !== '' && http.apiKey.length < MIN_API_KEY_LENGTH) {
    told.push(`ARQONBUS_HTTP_API_KEY has less than ${MIN_API_KEY_LENGTH} characters and could be guessed.`);
  }
  return told;
}

function exposureWarnings(config: Config): string[] {
  const { server, http } = config;
  const exposed = listeners(config).filter(({ host }) => !isLoopbackHost(host));
  if (exposed.length === 0) return [];
  const told: string[] = [];
  if (!isEncrypted(server)) {
    const places = exposed.map(({ name, host }) => `${name} on ${host}`).join(', ');
    told.push(`No TLS: tokens and messages travel in clear text (${places}).`);
  }
  if (!http.metricsAuth && exposed.some(({ name }) => name === 'http')) {
    told.push('/metrics is open to everybody who can reach HTTP; ARQONBUS_METRICS_AUTH=true closes it.');
  }
  return told;
}

function browserWarnings({ server, http, webhook }: Config): string[] {
  const told: string[] = [];
  if (server.allowedOrigins.includes('*')) {
    told.push('ARQONBUS_ALLOWED_ORIGINS is *: every web page may connect through its visitors’ browsers.');
  }
  if (http.corsOrigins.includes('*')) {
    told.push('ARQONBUS_HTTP_CORS_ORIGINS is *: every web page may read HTTP answers.');
  }
  if (webhook.allowHosts.includes('*')) {
    told.push('ARQONBUS_WEBHOOK_ALLOW_HOSTS is *: webhooks may address services of the internal network.');
  }
  return told;
}

function hasWeakSecret({ auth }: Config): boolean {
  return auth.jwtAlgorithm === 'HS256' && Buffer.byteLength(auth.jwtSecret) < MIN_SECRET_BYTES;
}

function fetchesKeysInClear({ auth }: Config): boolean {
  if (!auth.jwksUrl.toLowerCase().startsWith('http://')) return false;
  return !isLoopbackHost(new URL(auth.jwksUrl).hostname);
}

function isDurable({ storage }: Config): boolean {
  return storage.backend !== 'memory' && !(storage.backend === 'sqlite' && storage.sqlitePath.includes(':memory:'));
}

function isEncrypted(server: Config['server']): boolean {
  return server.behindTlsProxy || server.tlsCertFile !== '';
}
