import { checkClock, checkGrpcHealth, checkHttpHealth } from './health.ts';
import { checkDns, checkTcp } from './network.ts';
import { checkNodeKey } from './node-key.ts';
import { checkClientCertificate, checkOwnFiles } from './own-certificate.ts';
import { type Check, errorText, Finding, type Patient, type Step } from './step.ts';
import { checkAlpn, checkChain, checkSan, checkTlsVersion } from './tls.ts';

const checks: { name: string; check: Check; unless?: (patient: Patient) => string }[] = [
  { name: 'DNS', check: checkDns },
  { name: 'TCP', check: checkTcp },
  { name: 'TLS version', check: checkTlsVersion, unless: ifInsecure },
  { name: 'certificate chain', check: checkChain, unless: ifInsecure },
  { name: 'certificate name (SAN)', check: checkSan, unless: ifInsecure },
  { name: 'ALPN', check: checkAlpn, unless: ifInsecure },
  { name: 'health over HTTP', check: checkHttpHealth },
  { name: 'health over gRPC', check: checkGrpcHealth },
  { name: 'clock', check: checkClock },
  { name: 'own certificate', check: checkOwnFiles, unless: ifNoCertificate },
  { name: 'client certificate', check: checkClientCertificate, unless: ifInsecure },
  { name: 'node key', check: checkNodeKey, unless: ifNoKey },
];

function ifInsecure(patient: Patient): string {
  return patient.insecure ? 'plain text was asked for' : '';
}

function ifNoKey(patient: Patient): string {
  return patient.nodeKey === undefined && patient.own === undefined ? 'no --node-key given' : '';
}

function ifNoCertificate(patient: Patient): string {
  return patient.own === undefined ? 'no --certificate given' : '';
}

/** Runs the checks in order up to the first fault; later ones would only report the same fault again. */
export async function examine(patient: Patient, told: (step: Step) => void = () => undefined): Promise<Step[]> {
  const steps: Step[] = [];
  const tell = (step: Step) => {
    steps.push(step);
    told(step);
  };
  for (const { name, check, unless } of checks) {
    const faulty = steps.find((step) => step.state === 'failed');
    const skipped = faulty === undefined ? (unless?.(patient) ?? '') : `after the fault in ${faulty.name}`;
    if (skipped !== '') {
      tell({ name, state: 'skipped', detail: skipped, todo: '' });
      continue;
    }
    try {
      tell({ name, state: 'ok', detail: await check(patient), todo: '' });
    } catch (error) {
      const todo =
        error instanceof Finding || 'todo' in (error as object) ? (error as Finding).todo : 'Look at the server log.';
      tell({ name, state: 'failed', detail: errorText(error), todo });
    }
  }
  return steps;
}
