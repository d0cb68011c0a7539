import { generateKeyPairSync } from 'node:crypto';
import { HealthCheckResponse, HealthCheckResponse_ServingStatus } from '@aegis/contracts/grpc/health/v1/health';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { exchange } from './http.ts';
import { askGateway, findingOf } from './question.ts';
import { type Check, errorText, Finding, type Patient } from './step.ts';
import { speaksTls } from './tls.ts';

export const checkHttpHealth: Check = async (patient) => {
  const answer = await exchange(patient, { method: 'GET', path: '/health' }).catch(async (error) => {
    if (error instanceof Finding) throw error;
    if (patient.insecure && (await speaksTls(patient))) {
      throw new Finding(
        'the port speaks TLS, and plain text was asked for',
        'Leave out --insecure; SuperNodes need --root-certificates instead of --insecure.',
      );
    }
    throw new Finding(
      `GET /health fails (${errorText(error)})`,
      'Check that this is the gateway, and look at its log.',
    );
  });
  if (answer.status === 503) {
    throw await whyNotReady(patient);
  }
  if (answer.status !== 200) {
    throw new Finding(
      `GET /health answers ${answer.status}`,
      'This is not an Aegis gateway: check the port and any proxy.',
    );
  }
  return 'GET /health answers 200';
};

/** A gateway is not ready while it starts, while it stops, and while it has no store. A question that needs the store tells. */
async function whyNotReady(patient: Patient): Promise<Finding> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const objection = await askGateway(patient, privateKey, { showsCertificate: false }).catch(() => null);
  if (objection?.code === 'STORE_UNAVAILABLE') return findingOf(objection);
  return new Finding(
    'the server says it is not ready (503)',
    'It may be starting or stopping, or its NATS does not answer; look at its log.',
  );
}

export const checkGrpcHealth: Check = async (patient) => {
  const status = await healthOverGrpc(patient).catch((error: ServiceError) => {
    throw new Finding(
      `grpc.health.v1 fails (${error.details || errorText(error)})`,
      'A proxy in between must pass HTTP/2 through; SuperNodes up to flwr 1.39 and `aegis` itself need it.',
    );
  });
  if (status !== HealthCheckResponse_ServingStatus.SERVING)
    throw new Finding('gRPC health says: not serving', 'It may be starting or stopping; look at its log.');
  return 'grpc.health.v1 says SERVING';
};

function healthOverGrpc(patient: Patient): Promise<number> {
  const security = patient.insecure
    ? credentials.createInsecure()
    : credentials.createSsl(patient.ca === undefined ? null : Buffer.from(patient.ca));
  const host = patient.host.includes(':') ? `[${patient.host}]` : patient.host;
  // Without the environment's proxy: the way that is examined is the one that SuperNodes take.
  const client = new Client(`${host}:${patient.port}`, security, {
    'grpc.enable_http_proxy': 0,
    ...(patient.serverName !== undefined && { 'grpc.ssl_target_name_override': patient.serverName }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  client.makeUnaryRequest<Buffer, number>(
    '/grpc.health.v1.Health/Check',
    (request) => request,
    (response) => HealthCheckResponse.decode(response).status,
    Buffer.alloc(0),
    { deadline: Date.now() + patient.timeoutMs },
    (error, status) => {
      client.close();
      if (error !== null) reject(error);
      else resolve(status ?? 0);
    },
  );
  return promise;
}

// What the gateway accepts of a node's timestamp: Flower's own limits (PROTOCOL §2.6).
const secondsAhead = 5;
const secondsBehind = 300;

export const checkClock: Check = async (patient) => {
  const before = patient.now();
  const { headers } = await exchange(patient, { method: 'GET', path: '/health' });
  const after = patient.now();
  const theirs = Date.parse(headers.date ?? '');
  if (Number.isNaN(theirs))
    throw new Finding('the server tells no time (no Date header)', 'A proxy strips the header.');
  // The header counts whole seconds, cut off: on average it is half a second behind.
  const skew = ((before + after) / 2 - (theirs + 500)) / 1000;
  const words = `this clock is ${Math.abs(skew).toFixed(1)} s ${skew > 0 ? 'ahead of' : 'behind'} the server's`;
  if (skew > secondsAhead || skew < -secondsBehind) {
    throw new Finding(
      words,
      `Set the clocks (NTP) on both machines: a node may be ${secondsAhead} s ahead and ${secondsBehind} s behind.`,
    );
  }
  return Math.abs(skew) < 1 ? 'the clocks agree' : words;
};
