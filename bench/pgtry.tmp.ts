import { createPostgresEngine } from '../packages/bus/src/engine/postgres/postgres.ts';
import { PrivatePostgres } from '../test/fixtures/private-postgres.ts';
import { newId, openDraft } from '@arqonbus/protocol';
const s = await PrivatePostgres.start({ durable: true });
const quiet = () => ({ count: 0, deliver() { this.count += 1; return 1; }, receive() {}, health(x: any) { console.log(x); }, historyGap() {}, gap(...a: any) { console.log('gap', a); }, trimmed() {} });
const TEXT='x'.repeat(180);
const pub = (ch: string) => ({ stream: { tenant: 'default', room: 'bench', channel: ch }, draft: openDraft({ id: newId(), type: 'event', room: 'bench', channel: ch, from: 'arq_client_bench', payload: { text: TEXT } }), identity: 'bench', retention: { size: 500, ttlMs: 86_400_000, bytes: 16777216 } });
const nodes = [] as any[]; 
for (const n of ['a','b']) { const e = createPostgresEngine({ url: s.url(), nodeId: n }); const ev = quiet(); await e.open(ev); await e.broker.attach('default','bench'); nodes.push({ e, ev }); }
async function closed(window: number, who: any[], secs=4) {
  const lat: number[] = []; let acked = 0; const end = performance.now()+secs*1000; const b=performance.now();
  await Promise.all(who.flatMap(({e}) => Array.from({length: window}, async (_, i) => { while (performance.now()<end) { const t=performance.now(); await e.broker.publish(pub('c'+i%10)); acked++; lat.push(performance.now()-t); } })));
  lat.sort((x,y)=>x-y); console.log(`window ${window} x${who.length}: ${Math.round(acked/((performance.now()-b)/1000))}/s p50 ${lat[lat.length>>1]!.toFixed(1)} p99 ${lat[Math.floor(lat.length*.99)]!.toFixed(1)}`);
}
async function rated(rate: number, secs=5) {
  const lat: number[] = []; let sent=0; const b=performance.now(); const ps: Promise<any>[]=[];
  while (performance.now()-b < secs*1000) { const due = (performance.now()-b)/1000*rate; while (sent<due) { sent++; const t=performance.now(); ps.push(Promise.resolve(nodes[0].e.broker.publish(pub('c'+sent%10))).then(()=>lat.push(performance.now()-t))); } await new Promise(r=>setTimeout(r,2)); }
  await Promise.all(ps); lat.sort((x,y)=>x-y); console.log(`rate ${rate}: ${lat.length/((performance.now()-b)/1000)|0}/s p50 ${lat[lat.length>>1]!.toFixed(1)} p99 ${lat[Math.floor(lat.length*.99)]!.toFixed(1)}`);
}
await closed(1,[nodes[0]]); await closed(256,[nodes[0]]); await closed(256,nodes); await rated(5000); await rated(1000);
console.log(nodes.map(n=>n.ev.count), await nodes[0].e.stats());
for (const n of nodes) await n.e.close(); await s.stop();
