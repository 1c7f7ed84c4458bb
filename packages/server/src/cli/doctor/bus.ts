import { messageOf } from '../exit.ts';
import { withBus } from '../remote/bus.ts';
import { shownUrl } from '../remote/failure.ts';
import { findBus } from '../remote/find.ts';
import { getJson } from '../remote/http.ts';
import { busUrl, type HttpOptions } from '../remote/options.ts';
import { type Finding, failed, ok } from './finding.ts';
import { checkClock, checkVersion } from './ports.ts';

/** Checks the bus named by the options: whether it answers, its version, clock and HTTP port. */
export async function checkBus(options: HttpOptions): Promise<Finding[]> {
  const { wsUrl = '', httpUrl = '' } = options;
  const bus = wsUrl === '' ? [] : await checkConnection(options);
  const isAway = bus.some(({ outcome }) => outcome === 'fail');
  // A bus that does not answer cannot report its HTTP port.
  return isAway && httpUrl === '' ? bus : [...bus, ...(await checkHttp(options))];
}

async function checkConnection(options: HttpOptions): Promise<Finding[]> {
  try {
    const { server, timestamp } = await withBus(options, async ({ client }) => {
      const { timestamp } = await client.command('ping', {});
      return { server: client.welcome!.server, timestamp };
    });
    const answers = ok('bus', `A bus answers at ${shownUrl(busUrl(options))}; its node is ${server.node}.`);
    return [answers, checkVersion(server.version), checkClock(timestamp)];
  } catch (error) {
    return [failed('bus', capitalized(messageOf(error)))];
  }
}

async function checkHttp(options: HttpOptions): Promise<Finding[]> {
  try {
    const { http } = await findBus(options);
    if (http === undefined) return [ok('http', 'The bus does not name an HTTP port.')];
    await getJson(http, '/health', options);
    return [ok('http', `Its HTTP port answers at ${shownUrl(http)}.`)];
  } catch (error) {
    return [failed('http', capitalized(messageOf(error)))];
  }
}

function capitalized(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
