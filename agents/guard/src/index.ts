import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { LocalNoise } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { OnePort } from '@aegis/flower-wire';
import {
  type Clock,
  type Logger,
  noTelemetry,
  systemClock,
  type Telemetry,
  type TlsMaterial,
} from '@aegis/service-kit';
import { GuardFleet } from './api/fleet.ts';
import { type Loopback, listenForSuperNode } from './api/listener.ts';
import { SuperNodeKey } from './api/supernode-key.ts';
import type { LoadedPolicy } from './config.ts';
import { OpenTasks } from './domain/open-tasks.ts';
import type { LocalNoiseRule } from './domain/policy.ts';
import { appSigners } from './flows/app-signers.ts';
import { deliverAnswer } from './flows/deliver-answer.ts';
import type { Guard } from './flows/guard.ts';
import { HeldPull } from './flows/held-pull.ts';
import { KnownRuns } from './flows/known-runs.ts';
import { followRound } from './flows/masked-round.ts';
import { OpenRounds } from './flows/open-rounds.ts';
import {
  type CertificateGround,
  keepCertificate,
  type OwnCertificate,
  ownCertificate,
} from './flows/own-certificate.ts';
import type { Signing } from './flows/signing.ts';
import { takeOffer } from './flows/take-offer.ts';
import { Withdrawn, withdrawTask } from './flows/withdraw-task.ts';
import { enrolmentAt } from './peers/enrolment.ts';
import { type Launch, superviseSuperNode } from './peers/supernode.ts';
import { NodeUpstream } from './peers/upstream.ts';
import { AuditFile } from './store/audit-file.ts';
import { FolderModelFiles, FolderPartFiles } from './store/files.ts';
import { IdentityFiles } from './store/identity-files.ts';
import { SealedRounds } from './store/sealed-rounds.ts';
import { SqliteJournal } from './store/sqlite-journal.ts';

export { type LoadedPolicy, loadPolicy } from './config.ts';
export { type Explanation, explainRun } from './explain.ts';
export type { Signing } from './flows/signing.ts';
export { type Launch, type RunningProgram, reservedArgument } from './peers/supernode.ts';
export { readSigning, type SigningFiles } from './signing.ts';

export interface GuardOptions {
  /** The gateway. */
  readonly address: string;
  readonly serverName?: string | undefined;
  /** Certificate and key that the owner has, or how the guard comes by its own. */
  readonly tls: TlsMaterial | OwnIdentity;
  /** For secure aggregation; null: this guard takes part in no masked round. */
  readonly signing: Signing | null;
  /** Journal, parts, models and the audit file. */
  readonly state: string;
  readonly policyFile: string;
  readonly loaded: LoadedPolicy;
  /** The SuperNode: program and arguments. */
  readonly command: readonly string[];
  /** Given: `command` is not started; a SuperNode that somebody else starts finds the guard here. */
  readonly listen?: Loopback | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly launch: Launch;
  readonly log: Logger;
  readonly say: (line: string) => void;
  /** Ends the guard. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Where the owner wants the guard's part of a round's trace; default: nowhere. */
  readonly telemetry?: Telemetry;
}

export interface OwnIdentity {
  /** Authority of the server's certificate. */
  readonly ca: Buffer;
  readonly roots: readonly X509Certificate[];
  /** Needed until there is a certificate in the state folder. */
  readonly invitation: string | undefined;
  /** Throws when the guard must not go by this certificate (PEM). */
  readonly check: (certificate: Buffer) => void;
}

export const auditFileOf = (state: string): string => join(state, 'audit.jsonl');

/**
 * Runs a guard, and the SuperNode behind it unless that is started elsewhere, until the signal; returns the exit code. Throws what makes going on pointless: the
 * server refuses this guard, another guard has the state, the journal cannot be opened.
 */
export const runGuard = async (options: GuardOptions): Promise<number> => {
  const { state, loaded, log, say, signal, clock = systemClock, telemetry = noTelemetry } = options;
  const ending = new AbortController();
  const end = (): void => ending.abort(signal.reason);
  signal.addEventListener('abort', end, { once: true });
  const journal = SqliteJournal.open(state, clock.now());
  const audit = new AuditFile(auditFileOf(state), () => clock.now());
  audit.write({ event: 'started', policy: options.policyFile });
  const certificates =
    'roots' in options.tls ? certificatesOf(options, options.tls, audit, clock, ending.signal) : null;
  const { own, tls } = await identityOf(options.tls, certificates).catch((error: unknown) => {
    audit.close();
    journal.close();
    signal.removeEventListener('abort', end);
    throw error;
  });
  const parts = new FolderPartFiles(join(state, 'answers'));
  const secrets = await SealedRounds.open(state);
  const openRounds = journal.openRounds().map(({ task }) => task.taskId);
  await parts.dropAllBut([...journal.unsettled().map(({ taskId }) => taskId), ...openRounds]);
  await secrets.dropAllBut(openRounds);
  const withdrawn = new Withdrawn();
  const key = new SuperNodeKey(clock, options.listen ? () => guard.tasks.forgetOffers() : null);
  const failed = (err: unknown): void => {
    if (!ending.signal.aborted) log.error({ err }, 'something failed inside the guard');
  };
  const upstream = new NodeUpstream({
    address: options.address,
    tls,
    serverName: options.serverName,
    canMask: options.signing !== null,
    purposes: loaded.policy.consent,
    clock,
    chance: Math.random,
    events: {
      offered: (task) => void takeOffer(guard, task).catch(failed),
      withdrawn: (taskId) => void withdrawTask(guard, withdrawn, taskId).catch(failed),
      connected: (nodeId) => {
        journal.rememberNode(nodeId);
        log.info({ node: nodeId }, 'connected');
        say(`connected to ${options.address} as node ${nodeId}`);
      },
      consented: (purposes) => {
        const to = purposes.map(({ purpose, version }) => `${purpose} ${version}`);
        audit.write({ event: 'consent-stated', to });
        if (to.length > 0) say(`the server knows what you consent to: ${to.join(', ')}`);
      },
      notConsented: (reason) => {
        log.error({ reason }, 'the server did not keep what the policy consents to');
        say(`the server did not keep what your policy consents to: ${reason}`);
      },
      lost: (reason, retryMs) => {
        log.warn({ reason, retryMs }, 'no connection');
        say(`no connection to ${options.address} (${reason}); trying again in ${(retryMs / 1000).toFixed(1)} s`);
      },
    },
  });
  if (certificates && own) void keepCertificate(certificates, own, (next) => upstream.use(next)).catch(failed);
  const runs = new KnownRuns(
    journal,
    upstream,
    (app) => appSigners(app, loaded.trusted),
    loaded.policy.requireSignedApp,
  );
  const guard: Guard = {
    ...{
      policy: loaded.policy,
      clock,
      log,
      telemetry,
      journal,
      parts,
      audit,
      upstream,
      runs,
      say,
      ending: ending.signal,
    },
    models: new FolderModelFiles(join(state, 'models')),
    tasks: new OpenTasks(),
    held: new HeldPull(clock),
    localNoise: noiseOf(loaded.policy.localNoise),
    ...{ signing: options.signing, secrets, rounds: new OpenRounds() },
  };
  const stopLooking = options.signing?.watch?.(clock, log);
  for (const { taskId } of journal.unsettled()) void deliverAnswer(guard, taskId);
  for (const taskId of openRounds) void followRound(guard, taskId);
  let refused: AegisError | undefined;
  upstream.finished.catch((error: AegisError) => {
    refused = error;
    ending.abort(error);
  });
  let port: OnePort | undefined;
  try {
    port = await listenForSuperNode(new GuardFleet(guard, key, withdrawn), log, options.listen ?? anyPort);
    if (options.listen) {
      const { host, port: at } = port.address;
      say(`waiting for a SuperNode: flower-supernode --superlink ${host}:${at} --insecure`);
      await untilAborted(ending.signal);
      if (refused) throw refused;
      return 0;
    }
    const code = await superviseSuperNode({
      ...{ command: options.command, port: port.address.port, env: options.env, launch: options.launch },
      ...{ clock, log, say, signal: ending.signal },
      onStart: () => {
        key.forget();
        guard.tasks.forgetOffers();
      },
    });
    if (refused) throw refused;
    return code;
  } finally {
    ending.abort(new Error('the guard ends'));
    guard.held.wake();
    stopLooking?.();
    await upstream.close();
    await port?.close();
    audit.close();
    journal.close();
    signal.removeEventListener('abort', end);
  }
};

const anyPort: Loopback = { host: '127.0.0.1', port: 0 };

const untilAborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

const certificatesOf = (
  { address, serverName, state, log, say }: GuardOptions,
  { ca, roots }: OwnIdentity,
  audit: AuditFile,
  clock: Clock,
  ending: AbortSignal,
): CertificateGround => ({
  ...{ roots, ca, clock, audit, log, say, ending },
  identity: new IdentityFiles(state),
  server: enrolmentAt({ address, serverName }, ca),
  chance: Math.random,
});

const identityOf = async (
  given: GuardOptions['tls'],
  certificates: CertificateGround | null,
): Promise<{ own: OwnCertificate | null; tls: TlsMaterial }> => {
  if (certificates === null || !('roots' in given)) return { own: null, tls: given as TlsMaterial };
  const own = await ownCertificate(certificates, given.invitation);
  given.check(own.tls.cert);
  return { own, tls: own.tls };
};

/** CONFIG_INVALID where clip and noise make no sense together. */
const noiseOf = (rule: LocalNoiseRule | null): LocalNoise | null => {
  if (rule === null) return null;
  try {
    if ('sigma' in rule) return LocalNoise.ofSigma(rule.clip, rule.sigma);
    return LocalNoise.calibrated(rule.clip, rule.epsilon, rule.delta);
  } catch (error) {
    throw new AegisError('CONFIG_INVALID', `local-noise: ${(error as Error).message}`, error);
  }
};
