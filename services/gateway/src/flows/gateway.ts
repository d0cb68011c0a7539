import type { Clock, Logger, Random } from '@aegis/service-kit';
import type { ControlRules } from '../domain/control-access.ts';
import type { InvitationVerdict } from '../domain/invitation.ts';
import type { Mailbox } from '../domain/mailbox.ts';
import type { Elsewhere, Roster } from '../domain/presence.ts';
import type {
  AggregatorPeer,
  IssuerPeer,
  LedgerPeer,
  PresenceOut,
  RunsPeer,
  SecaggPeer,
  TaskFeed,
} from '../peers/contract.ts';
import type { AppSignatureStore, ConsentStore, InvitationStore, NodeStore, UploadStore } from '../store/contract.ts';
import type { Accounts } from './accounts.ts';
import type { Admission } from './admission.ts';
import type { AuditTrail } from './audit-trail.ts';
import type { ClientCertificates } from './client-certificates.ts';
import type { HeldPulls } from './held-pulls.ts';
import type { OpenUploads } from './open-uploads.ts';
import type { ProvenKeys } from './proven-keys.ts';
import type { RestKeys } from './rest-keys.ts';
import type { SeenCalls } from './seen-calls.ts';
import type { UnitNames } from './unit-names.ts';
import type { UnknownNodes } from './unknown-nodes.ts';
import type { UsedNonces } from './used-nonces.ts';

/** Everything a flow may touch. Wiring makes one; tests make their own. */
export interface Gateway {
  readonly settings: GatewaySettings;
  readonly audit: AuditTrail;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observed: Observed;
  readonly nodes: NodeStore;
  readonly invitations: InvitationStore;
  readonly consents: ConsentStore;
  readonly uploads: UploadStore;
  readonly appSignatures: AppSignatureStore;
  readonly aggregator: AggregatorPeer;
  readonly runs: RunsPeer;
  readonly ledger: LedgerPeer;
  readonly secagg: SecaggPeer;
  /** Null: certificates are made by hand. */
  readonly issuer: IssuerPeer | null;
  readonly tasks: TaskFeed;
  readonly presence: PresenceOut;
  readonly signatures: SignatureCheck;
  /** Null: this gateway has no unit key, and none of its nodes takes part in private runs. */
  readonly unitNames: UnitNames | null;
  /** Null: REST is off. */
  readonly restKeys: RestKeys | null;
  /** Null: the Control API goes by where the caller is. */
  readonly accounts: Accounts | null;
  /** Memory of this process; all of it is rebuilt after a restart. */
  readonly mailbox: Mailbox;
  readonly admission: Admission;
  readonly provenKeys: ProvenKeys;
  readonly seenCalls: SeenCalls;
  readonly usedNonces: UsedNonces;
  readonly unknownNodes: UnknownNodes;
  readonly certificates: ClientCertificates;
  readonly roster: Roster;
  readonly elsewhere: Elsewhere;
  readonly held: HeldPulls;
  readonly openUploads: OpenUploads;
}

export interface GatewaySettings extends ControlRules {
  /** How long an empty pull is held. */
  readonly holdMs: number;
}

/** Off the event loop. False = wrong signature; throws when the key itself is unusable. */
export type SignatureCheck = (publicKeyPem: Buffer, message: Buffer, signatureDer: Buffer) => Promise<boolean>;

/** What operators count. */
export interface Observed {
  taskOffered(): void;
  /** A task that its node must not see went back to its round. */
  taskWithheld(code: string): void;
  partStored(bytes: number): void;
  updateJudged(code: string): void;
  invitationOffered(outcome: InvitationVerdict['outcome']): void;
}
