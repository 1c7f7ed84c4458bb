import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../packages/server/src/config/load.ts';
import { CHART, helm, lint, type Manifest, render } from './fixtures/helm.ts';

const read = (name: string): string => readFileSync(join(CHART, name), 'utf8');
const page = readFileSync(fileURLToPath(new URL('../docs/deployment.md', import.meta.url)), 'utf8');
const chart = parse(read('Chart.yaml')) as { name: string; version: string; appVersion: string };
const defaults = parse(read('values.yaml')) as Readonly<Record<string, unknown>>;
const templates = readdirSync(join(CHART, 'templates')).map((name) => ({ name, text: read(`templates/${name}`) }));

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

/** The dotted names of all values: down to what is no mapping, or one whose names the user chooses. */
function namesOf(values: Readonly<Record<string, unknown>>, schema: Schema, prefix = ''): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const own = schema.properties?.[name];
    const path = `${prefix}${name}`;
    if (own?.properties === undefined) return [path];
    return namesOf(value as Readonly<Record<string, unknown>>, own, `${path}.`);
  });
}

describe('the chart', () => {
  const schema = JSON.parse(read('values.schema.json')) as Schema;
  const names = namesOf(defaults, schema);

  it('runs the release that it stands beside', () => {
    const { version } = JSON.parse(readFileSync(join(CHART, '../../packages/server/package.json'), 'utf8'));
    expect([chart.appVersion, chart.version]).toEqual([version, version]);
  });

  it('has a schema that knows every value, and knows no other', () => {
    const known = (own: Schema, prefix = ''): string[] =>
      Object.entries(own.properties ?? {}).flatMap(([name, inner]) =>
        inner.properties === undefined ? [`${prefix}${name}`] : known(inner, `${prefix}${name}.`),
      );
    // Helm itself adds "global".
    expect(known(schema).filter((name) => name !== 'global')).toEqual(names);
    expect(schema.additionalProperties).toBe(false);
  });

  it('explains every value in the documentation', () => {
    const rows = [...page.matchAll(/^\| `([\w.]+)` +\|/gm)].map(([, name]) => name);
    expect(rows).toEqual(names);
  });

  it('uses every value, and none that is not there', () => {
    const text = templates.map((template) => template.text).join('\n');
    const used = new Set([...text.matchAll(/\.Values\.([\w.]+)/g)].map(([, name = '']) => name));
    const isNamed = (name: string): boolean =>
      names.some((other) => name === other || name.startsWith(`${other}.`) || other.startsWith(`${name}.`));
    expect([...used].filter((name) => !isNamed(name))).toEqual([]);
    // A `with` reads the parts of a value by their last names.
    const covers = (name: string): boolean =>
      [...used].some((other) => name === other || name.startsWith(`${other}.`)) &&
      (used.has(name) || new RegExp(`\\.${name.split('.').at(-1)}\\b`).test(text));
    expect(names.filter((name) => !covers(name))).toEqual([]);
  });

  it.each(templates)('$name closes what it opens', ({ text }) => {
    const words = [...text.replaceAll(/\{\{-? ?\/\*.*?\*\/ ?-?\}\}/gs, '').matchAll(/\{\{-? *(\w+)/g)].map(
      ([, word]) => word,
    );
    const opened = words.filter((word) => ['if', 'range', 'with', 'define'].includes(word ?? '')).length;
    expect(words.filter((word) => word === 'end').length).toBe(opened);
    expect(text.split('{{').length).toBe(text.split('}}').length);
  });

  it('names settings that the server knows', () => {
    const own = [...new Set(templates.flatMap(({ text }) => text.match(/ARQONBUS_[A-Z_]+[A-Z]/g) ?? []))];
    expect(own.length).toBeGreaterThan(15);
    const { warnings } = loadConfig({ env: Object.fromEntries(own.map((name) => [name, '1'])) });
    expect(warnings.filter((warning) => /is not a setting/.test(warning))).toEqual([]);
  });
});

if (helm === undefined) {
  console.warn('*** There is no helm (`npm run tools -- helm` builds it): what the chart becomes is LEFT OUT. ***');
}

const SECRET = { secrets: { existingSecret: 'bus-secrets' } };
const CLUSTER = { ...SECRET, replicas: 3, storage: { backend: 'redis', mode: 'strict' } };

describe.skipIf(helm === undefined)('what the chart becomes', () => {
  const find = (manifests: readonly Manifest[], kind: string, name = 'shop-arqonbus'): Manifest => {
    const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
    return found;
  };
  const kinds = (manifests: readonly Manifest[]): string[] => manifests.map(({ kind }) => kind).sort();
  const podOf = (manifests: readonly Manifest[]) => find(manifests, 'Deployment').spec.template.spec;
  const settingsOf = (manifests: readonly Manifest[]): Record<string, string> =>
    Object.fromEntries(
      (podOf(manifests).containers[0].env as { name: string; value?: string }[]).flatMap(({ name, value }) =>
        value === undefined ? [] : [[name, value]],
      ),
    );

  it('is nothing that lint complains of', async () => {
    expect(await lint(SECRET)).toContain('0 chart(s) failed');
    expect(await lint(CLUSTER)).toContain('0 chart(s) failed');
  });

  it('is one node by default, without a budget that would keep its machine from being emptied', async () => {
    const manifests = await render(SECRET);
    expect(kinds(manifests)).toEqual(['Deployment', 'Service', 'Service']);
    expect(podOf(manifests).containers[0].image).toBe(`arqonbus:${chart.appVersion}`);
    expect(podOf(manifests).containers[0].envFrom).toEqual([{ secretRef: { name: 'bus-secrets' } }]);
  });

  it('is a cluster that is replaced node by node and loses nobody', async () => {
    const manifests = await render({ ...CLUSTER, drainSeconds: 45, preStopSeconds: 7, shutdownSeconds: 12 });
    const { spec } = find(manifests, 'Deployment');
    expect(spec.replicas).toBe(3);
    expect(spec.strategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
    expect(spec.minReadySeconds).toBe(7 + 45);
    expect(spec.progressDeadlineSeconds).toBeGreaterThan(spec.minReadySeconds);
    const pod = podOf(manifests);
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(7 + 45 + 12);
    expect(pod.containers[0].lifecycle.preStop.exec.command).toEqual(['sleep', '7']);
    expect(settingsOf(manifests)).toMatchObject({ ARQONBUS_DRAIN_SECONDS: '45', ARQONBUS_SHUTDOWN_SECONDS: '12' });
    const { labels } = spec.template.metadata;
    expect(labels).toMatchObject(spec.selector.matchLabels);
    expect(pod.topologySpreadConstraints[0].labelSelector.matchLabels).toEqual(spec.selector.matchLabels);
    const budget = find(manifests, 'PodDisruptionBudget').spec;
    expect(budget).toEqual({ maxUnavailable: 1, selector: { matchLabels: spec.selector.matchLabels } });
  });

  it('has settings that the server takes', async () => {
    for (const values of [SECRET, CLUSTER, { ...SECRET, storage: { backend: 'sqlite' } }]) {
      const { NODE_OPTIONS, ...settings } = settingsOf(await render(values));
      expect(NODE_OPTIONS).toBe('--max-old-space-size=640');
      const secret = { ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(64), ARQONBUS_REDIS_URL: 'redis://redis:6379' };
      const loaded = loadConfig({ env: { ...settings, ...secret } });
      expect(loaded.ok ? [] : loaded.faults).toEqual([]);
      expect(loaded.warnings.filter((warning) => /is not a setting/.test(warning))).toEqual([]);
    }
  });

  it('is ready for production as the documentation has it', async () => {
    const [, example = ''] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? [];
    const { NODE_OPTIONS: _, ...settings } = settingsOf(await render(parse(example)));
    const secret = {
      ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(64),
      ARQONBUS_HTTP_API_KEY: 'x'.repeat(48),
      ARQONBUS_REDIS_URL: 'redis://redis:6379',
    };
    const loaded = loadConfig({ env: { ...settings, ...secret } });
    expect(loaded.ok ? loaded.config.environment : loaded.faults).toBe('prod');
  });

  it('writes numbers and truth as the server reads them', async () => {
    const settings = { ARQONBUS_MAX_HISTORY_BYTES: 268_435_456, ARQONBUS_ENABLE_AUTH: false, ARQONBUS_MAX_HOPS: 0.5 };
    expect(settingsOf(await render({ settings }))).toMatchObject({
      ARQONBUS_MAX_HISTORY_BYTES: '268435456',
      ARQONBUS_ENABLE_AUTH: 'false',
      ARQONBUS_MAX_HOPS: '0.5',
    });
  });

  it('asks a node whether it lives in a way that a storage that is away cannot spoil', async () => {
    const probesOf = async (mode: string): Promise<string[]> => {
      const [container] = podOf(await render({ ...CLUSTER, storage: { backend: 'redis', mode } })).containers;
      const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
      for (const { httpGet } of probes) expect([httpGet.port, httpGet.scheme]).toEqual(['http', 'HTTP']);
      return probes.map(({ httpGet }) => httpGet.path);
    };
    expect(await probesOf('degraded')).toEqual(['/health/live', '/health/live', '/health/ready']);
    expect(await probesOf('strict')).toEqual(['/version', '/version', '/health/ready']);
  });

  it('runs as nobody in particular, without rights', async () => {
    const pod = podOf(await render(SECRET));
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(pod.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(pod.containers[0].resources.limits.memory).toBe('1Gi');
    const paths = pod.containers[0].volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
    expect(paths).toEqual(['/tmp', '/data']);
  });

  it('opens the bus alone to the world', async () => {
    const manifests = await render({ ...SECRET, service: { type: 'LoadBalancer', port: 443 } });
    const outside = manifests.filter(({ kind, spec }) => kind === 'Service' && spec.type !== 'ClusterIP');
    expect(outside.map(({ spec }) => spec.ports)).toEqual([[{ name: 'bus', port: 443, targetPort: 'bus' }]]);
    const { ports } = podOf(manifests).containers[0];
    const targets = manifests.filter(({ kind }) => kind === 'Service').flatMap(({ spec }) => spec.ports);
    for (const { targetPort } of targets) {
      expect(ports.map(({ name }: { name: string }) => name)).toContain(targetPort);
    }
  });

  it('makes a Secret of what it is given, and rolls the nodes when that changes', async () => {
    const values = (secret: string) => ({ secrets: { values: { ARQONBUS_AUTH_JWT_SECRET: secret } } });
    const [one, other] = [await render(values('a'.repeat(64))), await render(values('b'.repeat(64)))];
    expect(find(one, 'Secret').stringData).toEqual({ ARQONBUS_AUTH_JWT_SECRET: 'a'.repeat(64) });
    expect(podOf(one).containers[0].envFrom).toEqual([{ secretRef: { name: 'shop-arqonbus' } }]);
    const sumOf = (manifests: readonly Manifest[]) =>
      find(manifests, 'Deployment').spec.template.metadata.annotations['checksum/configuration'];
    expect(sumOf(one)).not.toBe(sumOf(other));
  });

  it('lays the rules before the server as a file', async () => {
    const rules = [{ match: 'orders:*', history: { size: 10 } }];
    const manifests = await render({ ...SECRET, rules });
    const file = settingsOf(manifests).ARQONBUS_RULES_FILE ?? '';
    const { mountPath } = podOf(manifests).containers[0].volumeMounts.find(
      ({ name }: { name: string }) => name === 'rules',
    );
    const { data } = find(manifests, 'ConfigMap');
    expect(JSON.parse(data[file.slice(mountPath.length + 1)])).toEqual(rules);
    const volume = podOf(manifests).volumes.find(({ name }: { name: string }) => name === 'rules');
    expect(volume.configMap.name).toBe('shop-arqonbus');
  });

  it.each(['memory', 'sqlite'])(
    'never has two nodes on %s, and sends nobody to one that is not there',
    async (backend) => {
      const manifests = await render({ ...SECRET, storage: { backend }, preStopSeconds: 3, shutdownSeconds: 4 });
      const { spec } = find(manifests, 'Deployment');
      expect(spec.strategy).toEqual({ type: 'Recreate' });
      expect(spec.minReadySeconds).toBeUndefined();
      expect(settingsOf(manifests).ARQONBUS_DRAIN_SECONDS).toBe('0');
      expect(podOf(manifests).terminationGracePeriodSeconds).toBe(3 + 4 + 5);
    },
  );

  it('keeps SQLite on a volume that outlives the release', async () => {
    const sqlite = { ...SECRET, storage: { backend: 'sqlite' } };
    const manifests = await render({ ...sqlite, persistence: { size: '5Gi', storageClass: 'fast' } });
    const claim = find(manifests, 'PersistentVolumeClaim');
    expect(claim.spec).toEqual({
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'fast',
      resources: { requests: { storage: '5Gi' } },
    });
    expect(claim.metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    expect(podOf(manifests).volumes[1].persistentVolumeClaim.claimName).toBe('shop-arqonbus');
    const own = await render({ ...sqlite, persistence: { existingClaim: 'mine' } });
    expect(kinds(own)).not.toContain('PersistentVolumeClaim');
    expect(podOf(own).volumes[1].persistentVolumeClaim.claimName).toBe('mine');
  });

  it('speaks TLS by itself, or stands behind what does', async () => {
    const own = await render({
      ...SECRET,
      tls: { existingSecret: 'certificate' },
      metrics: { serviceMonitor: { enabled: true } },
    });
    expect(settingsOf(own)).toMatchObject({
      ARQONBUS_TLS_CERT_FILE: '/etc/arqonbus/tls/tls.crt',
      ARQONBUS_TLS_KEY_FILE: '/etc/arqonbus/tls/tls.key',
    });
    expect(podOf(own).containers[0].livenessProbe.httpGet.scheme).toBe('HTTPS');
    expect(find(own, 'ServiceMonitor').spec.endpoints[0].scheme).toBe('https');

    const ingress = { enabled: true, host: 'bus.example', tlsSecret: 'edge', className: 'nginx' };
    const behind = await render({ ...SECRET, ingress });
    expect(settingsOf(behind).ARQONBUS_BEHIND_TLS_PROXY).toBe('true');
    const { spec } = find(behind, 'Ingress');
    expect(spec.tls).toEqual([{ hosts: ['bus.example'], secretName: 'edge' }]);
    expect(spec.rules[0].http.paths[0].backend.service).toEqual({ name: 'shop-arqonbus', port: { name: 'bus' } });
  });

  it('is found by Prometheus', async () => {
    const serviceMonitor = { enabled: true, interval: '15s', labels: { release: 'prometheus' } };
    const manifests = await render({ ...SECRET, metrics: { serviceMonitor } });
    const monitor = find(manifests, 'ServiceMonitor');
    const [endpoint] = monitor.spec.endpoints;
    expect(endpoint).toMatchObject({ path: '/metrics', interval: '15s', scheme: 'http' });
    expect(monitor.metadata).toMatchObject({ labels: { release: 'prometheus' } });
    const matched = manifests.filter(
      ({ kind, metadata }) =>
        kind === 'Service' &&
        Object.entries(monitor.spec.selector.matchLabels).every(
          ([name, value]) => (metadata as { labels?: Record<string, string> }).labels?.[name] === value,
        ),
    );
    expect(matched.map(({ metadata }) => metadata.name)).toEqual(['shop-arqonbus-http']);
    expect(matched[0]?.spec.ports.map(({ name }: { name: string }) => name)).toContain(endpoint.port);
  });

  it.each([
    ['nodes that cannot reach each other', { ...SECRET, replicas: 2 }, /choose redis, valkey or postgres/],
    ['a storage without an address', { storage: { backend: 'redis' } }, /give ARQONBUS_REDIS_URL in secrets/],
    ['tokens that nobody can check', {}, /give ARQONBUS_AUTH_JWT_SECRET in secrets/],
    ['a secret in a setting', { ...SECRET, settings: { ARQONBUS_HTTP_API_KEY: 'x' } }, /would show a secret/],
    [
      'what has a value of its own',
      { ...SECRET, settings: { ARQONBUS_DRAIN_SECONDS: 5 } },
      /by the value "drainSeconds"/,
    ],
    ['what the chart sets', { ...SECRET, settings: { ARQONBUS_NODE_ID: 'a' } }, /is set by the chart: leave it out/],
    ['two Secrets', { secrets: { existingSecret: 'a', values: { ARQONBUS_HTTP_API_KEY: 'x' } } }, /exclude each other/],
    ['an ingress for nobody', { ...SECRET, ingress: { enabled: true } }, /name the host that clients connect to/],
    ['an unknown value', { ...SECRET, replica: 2 }, /replica/],
    ['an unknown storage', { ...SECRET, storage: { backend: 'nats' } }, /backend/],
    ['a setting of somebody else', { ...SECRET, settings: { PATH: '/bin' } }, /PATH|settings/],
    ['a time that is none', { ...SECRET, drainSeconds: '30' }, /drainSeconds/],
  ])('refuses %s', async (_what, values, sentence) => {
    await expect(render(values)).rejects.toThrow(sentence);
  });
});
