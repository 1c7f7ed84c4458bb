// What content inspection (CASIL) does with four messages under policies from monitoring to blocking. Starts its
// own bus on a free port, so that it changes no other policy.
//
//   node --import tsx examples/casil-policy.ts
import { ArqonBusClient, RefusedError } from '@arqonbus/client';
import { startServer } from '@arqonbus/server';
import { loadConfig } from '@arqonbus/server/config';

const loaded = loadConfig({
  env: {
    ARQONBUS_SERVER_PORT: '0',
    ARQONBUS_TELEMETRY_PORT: 'off',
    ARQONBUS_HTTP_PORT: 'off',
    ARQONBUS_LOG_LEVEL: 'error',
    ARQONBUS_CASIL_ENABLED: 'true',
    ARQONBUS_CASIL_MODE: 'monitor',
    // Only this room is inspected; the rest of the bus does not pay for it.
    ARQONBUS_CASIL_SCOPE_INCLUDE: 'support:*',
    ARQONBUS_CASIL_REDACTION_PATHS: 'password,customer.email',
    ARQONBUS_CASIL_REDACTION_PATTERNS: '["ORDER-[0-9]{6}"]',
    ARQONBUS_CASIL_METADATA_TO_ENVELOPE: 'true',
  },
});
if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
const { server, addresses } = await startServer(loaded.config);
const url = `ws://127.0.0.1:${addresses.bus.port}`;

const sender = new ArqonBusClient({ url, screenName: 'Sender' });
const reader = new ArqonBusClient({ url, screenName: 'Reader' });
await Promise.all([sender.connect(), reader.connect()]);
const seen = await reader.subscribe('support:tickets');

const MESSAGES = [
  { text: 'The printer is on fire.' },
  { text: 'Please look at ORDER-471108.' },
  { text: 'I cannot log in', password: 'hunter2', customer: { email: 'ada@example.org', name: 'Ada' } },
  { text: 'x'.repeat(2_000) },
];

/** Publishes all messages, and prints the outcome of each. */
async function tryPolicy(title: string): Promise<void> {
  console.log(`\n${title}`);
  for (const payload of MESSAGES) {
    try {
      await sender.publish('support:tickets', payload, { ack: true });
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      console.log(`  blocked   ${error.code}`);
      continue;
    }
    const { payload: arrived, envelope } = await seen.next({ timeoutMs: 2_000 });
    const { decision, would_be, reason_code } = envelope.metadata?.casil ?? {};
    const text = JSON.stringify(arrived);
    const shown = text.length > 90 ? `${text.slice(0, 90)}…` : text;
    console.log(
      `  delivered ${decision}${would_be === undefined ? '' : ` (would be ${would_be})`} ${reason_code}: ${shown}`,
    );
  }
}

await tryPolicy('monitor: nothing is touched; metadata, logs and telemetry say what would be');

// Administrators change the policy while the bus runs. An invalid policy is refused as a whole.
await sender.casil.reload({ mode: 'enforce', transport_redaction: true, max_payload_bytes: 1_000 });
await tryPolicy('enforce with redaction: what is found is replaced, what is too large is blocked');

await sender.casil.reload({ block_on_probable_secret: true });
const { revision } = await sender.casil.get();
await tryPolicy(`enforce, blocking secrets (revision ${revision} of the policy)`);

await Promise.all([sender.close(), reader.close()]);
await server.stop();
