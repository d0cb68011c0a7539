// nats.conf as the chart writes it, in a real server of this machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { natsServerBinary } from '@aegis/bus';
import { render } from './render.ts';

/** `folder` holds ca.crt, tls.crt and tls.key; the store goes there too. */
export async function startChartNats(folder: string, port: number): Promise<ChildProcess> {
  const rendered = await render({ values: 'single-node' });
  const conf = rendered.get('ConfigMap', 'aegis-nats').data['nats.conf'] as string;
  // Paths and ports of this machine instead of the pod's.
  const here = conf
    .replaceAll('/etc/aegis/tls', folder)
    .replace('/data', join(folder, 'data'))
    .replace('/tmp/nats.pid', join(folder, 'pid'))
    .replace('port: 4222', `listen: "127.0.0.1:${port}"`)
    .replace('http_port: 8222', '');
  await writeFile(join(folder, 'nats.conf'), here);
  return spawn(natsServerBinary(), ['--config', join(folder, 'nats.conf')], {
    stdio: 'ignore',
    env: { POD_NAME: 'aegis-nats-0', NATS_AT_REST_KEY: `k${'11'.repeat(32)}` },
  });
}

export async function stopped(server: ChildProcess): Promise<void> {
  const exited = once(server, 'exit');
  server.kill('SIGTERM');
  await exited;
}
