// Every error a caller can meet, in one table. Codes are never renamed or reused; new meanings are new codes.
// `public` is what the caller reads; `todo` is what they can do about it; both are printed by docs/errors.md.

export type Kind =
  | 'invalid' // the request is wrong, whoever sends it
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'conflict' // the request is fine, but not in this state
  | 'over' // the run, or this part of it, is finished: stop working on it
  | 'too-large'
  | 'unavailable' // later, or elsewhere, it works
  | 'internal';

export interface CatalogEntry {
  readonly kind: Kind;
  readonly public: string;
  readonly todo: string;
}

const entry = (kind: Kind, text: string, todo: string): CatalogEntry => ({ kind, public: text, todo });

export const catalog = {
  // any door
  REQUEST_MALFORMED: entry(
    'invalid',
    'The request could not be decoded.',
    'Check the client release; a proxy may have cut the body short.',
  ),
  MEDIA_TYPE: entry(
    'invalid',
    'The content type is not the one this path takes.',
    'Send application/protobuf to Flower paths; for /api/v1 see docs/rest.md.',
  ),
  BODY_TOO_LARGE: entry(
    'too-large',
    'The request is larger than this call allows.',
    'Send less at once; parts of an update are limited to 64 MiB.',
  ),
  METHOD_UNKNOWN: entry(
    'not-found',
    'There is no such method here.',
    'Check the address and the release of the client.',
  ),
  METHOD_NOT_OFFERED: entry(
    'not-found',
    'This server does not offer that.',
    'Flower has this method for its hosted product; see the status table in the README for what works here.',
  ),
  ACCOUNTS_NOT_USED: entry(
    'not-found',
    'This server has no accounts to log in to.',
    'Leave `flwr login` out: runs start without it. The `aegis` command takes an operator token (--token-file).',
  ),
  LOGIN_NOT_OFFERED: entry(
    'not-found',
    'There is no identity provider to log in at: who has a token of this server uses that.',
    'Type `aegis operators login --address HOST:PORT --token-file FILE`, then flwr as always.',
  ),
  LOGIN_REFUSED: entry(
    'forbidden',
    'The log-in was not granted.',
    'Log in again (`flwr login`, `aegis login`), and ask whoever administers the server for a role if this goes on.',
  ),
  ACCOUNT_UNAUTHENTICATED: entry(
    'unauthenticated',
    'The call shows no account, or a log-in that is over.',
    'Type `flwr login`.',
  ),
  ACCOUNT_FORBIDDEN: entry(
    'forbidden',
    'The roles of this account do not allow that.',
    'Ask whoever administers the server; docs/operations.md says what each role may do.',
  ),
  IDENTITY_PROVIDER_FAILED: entry(
    'unavailable',
    'The identity provider does not answer as it should, so nobody can be let in by it.',
    'Try again in a minute. Operator: the server log names the step; check accounts.issuer, the network and the client there.',
  ),
  FEDERATION_NOT_FOUND: entry('not-found', 'There is no such federation.', 'See `flwr federation ls`.'),
  INTERNAL: entry(
    'internal',
    'Something failed inside the server.',
    'Look at the server log for the time of the call and report it.',
  ),
  UNAVAILABLE: entry(
    'unavailable',
    'The service cannot answer right now.',
    'Try again; the operator sees the reason in the log and in /metrics.',
  ),
  STORE_UNAVAILABLE: entry(
    'unavailable',
    'The state store does not answer.',
    'Operator: check that NATS runs and its disk is writable.',
  ),
  OBJECTS_UNAVAILABLE: entry(
    'unavailable',
    'The object store (S3) does not answer, or lets nobody in.',
    'Operator: check the bucket, the way to it and the role of this service; it is tried again by itself.',
  ),
  KEYS_UNAVAILABLE: entry(
    'unavailable',
    'The key service (KMS) does not answer, or lets nobody in.',
    'Operator: check the key, the way to it and the role of this service; it is tried again by itself.',
  ),
  KEY_NOT_OPENED: entry(
    'internal',
    'A wrapped key does not open.',
    'It is damaged, was moved, or was wrapped by another key: put the right one into `keys`. docs/operations.md, "Keys".',
  ),
  DISK_FULL: entry(
    'unavailable',
    'The disk that takes updates is full.',
    'Operator: free space under the state directory; clients retry by themselves.',
  ),
  DRAINING: entry(
    'unavailable',
    'The service is shutting down.',
    'Try again; another replica or the restarted service will answer.',
  ),
  CONFIG_INVALID: entry('invalid', 'The configuration is wrong.', 'Correct the key that the message names.'),
  DEADLINE: entry(
    'unavailable',
    'The answer did not come in time.',
    'Try again; the message names the call that was waited for.',
  ),
  CALLER_FORBIDDEN: entry(
    'forbidden',
    'This caller may not use this service.',
    'Operator: add the name in its certificate to the callers of that service.',
  ),

  // who are you
  NODE_UNAUTHENTICATED: entry(
    'unauthenticated',
    'The node could not be authenticated.',
    'Check the node key, and that its clock is right.',
  ),
  NODE_SIGNATURE: entry(
    'unauthenticated',
    "The node's signature does not match its key.",
    'Start the SuperNode with the key that was registered.',
  ),
  NODE_TIMESTAMP: entry(
    'unauthenticated',
    "The node's timestamp is too old or in the future.",
    'Set the clock of the node; up to 5 minutes behind is accepted.',
  ),
  NODE_REPLAYED: entry(
    'unavailable',
    'A call with this timestamp was made before, with the same key.',
    'Sign each call anew; the SuperNode does, and tries again by itself.',
  ),
  REST_SIGNATURE: entry(
    'unauthenticated',
    "The request is not signed with the node's secret.",
    'Sign method, path with query, body hash and nonce as docs/rest.md says, with the secret that /api/v1/register answered.',
  ),
  REST_NONCE: entry(
    'unauthenticated',
    'The nonce cannot be used, or not any more.',
    'Get another from /api/v1/nonce and sign the request anew: each is good for one request within two minutes.',
  ),
  REST_NOT_AT_WORK: entry(
    'conflict',
    'The node has not asked for work yet.',
    'Ask for tasks first, with GET /api/v1/tasks: with that call the node begins to work.',
  ),
  RATE_LIMIT: entry(
    'unavailable',
    'There were too many calls of this kind.',
    'Wait as long as the answer says and try again; stock clients do so by themselves. Operators see aegis_gateway_rate_limited and set limits.rates.',
  ),
  REGISTRATIONS: entry(
    'unavailable',
    'Too many nodes register from this address.',
    'Register again after the seconds of Retry-After. Operators raise limits.rest-registrations-per-minute.',
  ),
  HTTP_METHOD: entry(
    'not-found',
    'The path does not take this HTTP method.',
    'Use one of those that the answer names in Allow; /api/v1/openapi.json has them all.',
  ),
  HTTP_VERSION: entry(
    'invalid',
    'Over HTTP/2 only gRPC is spoken here.',
    'Use HTTP/1.1: offer it by ALPN (which then is chosen), or do not begin in HTTP/2.',
  ),
  BODY_HASH: entry(
    'invalid',
    'The body is not the one that was signed.',
    'Hash exactly the bytes that are sent; a proxy may have changed them.',
  ),
  NODE_KEY_UNKNOWN: entry(
    'unauthenticated',
    "The node's key is not known here, or was removed.",
    'Register the key: flwr supernode register, or aegis nodes approve.',
  ),
  NODE_CONNECTION: entry(
    'unauthenticated',
    "The connection is not the node's own.",
    'Connect every node by itself; where nodes share connections (a proxy), set `signatures: per-call` at the gateway.',
  ),
  NODE_IDENTITY: entry(
    'unauthenticated',
    'The node id does not belong to this key.',
    'A node can only act for itself.',
  ),
  NODE_HELLO: entry(
    'invalid',
    'The stream did not begin with a valid Hello.',
    'Answer the Challenge with a Hello within 10 seconds and wait for Welcome; the message says what was wrong.',
  ),
  NODE_PROTOCOL: entry(
    'conflict',
    'This version of aegis.node.v1 is not spoken here.',
    'Use a client and a server of releases that fit together.',
  ),
  NODE_REPLACED: entry('conflict', 'Another stream of this node was opened.', 'Give every client a key of its own.'),
  NODE_WINDOW: entry(
    'too-large',
    'More part bytes are on their way than the window allows.',
    'Send further parts only when PartStored came for earlier ones; Welcome names the window.',
  ),
  CERTIFICATE_REQUIRED: entry(
    'unauthenticated',
    'This node must show a client certificate.',
    'Run it behind `aegis guard`, or give aegis_fl.Client(certificate=…); the federation issues certificates with `aegis ca issue`. A server whose `client-certificates` is off asks nobody for one: then its operator changes that.',
  ),
  CERTIFICATE_EXPIRED: entry(
    'unauthenticated',
    'The client certificate is not valid any more.',
    'Renew it: aegis ca issue NAME --kind KIND --renew; check the clock of both machines.',
  ),
  CERTIFICATE_NOT_YET_VALID: entry(
    'unauthenticated',
    'The client certificate is not valid yet.',
    'Set the clocks: of the server, and of the machine that issued the certificate.',
  ),
  CERTIFICATE_REVOKED: entry(
    'unauthenticated',
    'The client certificate was revoked.',
    'Ask whoever keeps the federation authority.',
  ),
  CERTIFICATE_UNTRUSTED: entry(
    'unauthenticated',
    'The client certificate was not issued by an authority that this server trusts.',
    'Use the certificate of this federation; the operator names its root as tls.client-ca.',
  ),
  CERTIFICATE_LIST_EXPIRED: entry(
    'unauthenticated',
    'The list of revoked certificates is out of date, so that no certificate can be trusted.',
    'Operator: write a new one with `aegis ca revoke` and restart the gateway.',
  ),
  CERTIFICATE_KIND: entry(
    'unauthenticated',
    'The client certificate is not a node’s.',
    'Use one of the kind node or guard: aegis ca issue NAME --kind guard.',
  ),
  CERTIFICATE_BOUND: entry(
    'unauthenticated',
    'The certificate and the key belong to different nodes.',
    'One certificate subject is one node, with the key it came with first; another node needs a certificate of another name.',
  ),
  CERTIFICATE_LIST_MISSING: entry(
    'unavailable',
    'Whether the client certificate was revoked cannot be told just now.',
    'Try again. Operator: the issuer of this node has not said what it revoked; is it running?',
  ),
  CERTIFICATE_HANDED: entry(
    'forbidden',
    'The certificate that the server handed over is not one for this guard, and was not taken.',
    'Check --federation-root with whoever keeps the root of the federation; report it if that is right.',
  ),
  GUARD_CERTIFICATE: entry(
    'conflict',
    'The certificate in the state folder of this guard cannot be used any more.',
    'Ask the operator for a new invitation of the same name and start with --invite: the key stays.',
  ),
  CSR_INVALID: entry(
    'invalid',
    'The certificate request cannot be used.',
    'Send PKCS #10 (DER) for an EC P-256 key, signed by that key with ECDSA-SHA256; aegis guard --invite does.',
  ),
  ISSUER_ABSENT: entry(
    'not-found',
    'This server issues no certificates.',
    'Get one by hand (aegis ca issue NAME --kind guard); the operator offers them with `aegis issuer` and `aegis up --issuer`.',
  ),
  ISSUER_NAME_TAKEN: entry(
    'conflict',
    'The name has a certificate for another key.',
    'One name is one node: ask for an invitation of another name, or go on with the key of before.',
  ),
  ISSUER_REVOKED: entry(
    'unauthenticated',
    'The certificates of this name were revoked.',
    'Ask the operator for an invitation of another name.',
  ),
  ISSUER_OVER: entry(
    'unauthenticated',
    'The certificate has ended, and is not renewed.',
    'Ask the operator for a new invitation of the same name: aegis nodes invite --name NAME.',
  ),
  ISSUER_UNKNOWN: entry(
    'unauthenticated',
    'The certificate is none of this issuer.',
    'Renew it where it came from: aegis ca issue NAME --kind guard --renew.',
  ),
  ISSUER_REGISTER: entry(
    'conflict',
    'The register of the issuer cannot be opened.',
    'End the other issuer, or choose another state folder; one folder is for one process.',
  ),
  ISSUER_EXPIRED: entry(
    'unavailable',
    'The certificate of the issuer has ended, or is about to.',
    'Operator: make another with `aegis ca issuer NAME` and start the issuer with it.',
  ),
  INVITATION_NAMELESS: entry(
    'conflict',
    'The invitation names no node, and a certificate needs a name.',
    'Ask the operator for one with a name: aegis nodes invite --name NAME.',
  ),
  GUARD_LOCKED: entry(
    'conflict',
    'Another guard works in this state folder.',
    'End it, or give this one a folder of its own with --state DIR: two guards of one node could answer twice.',
  ),
  GUARD_JOURNAL: entry(
    'internal',
    'The guard’s journal cannot be used.',
    'Check the disk and who owns the state folder. Do not delete the journal while a run is under way: it holds what was answered.',
  ),
  GUARD_RUN_CHANGED: entry(
    'conflict',
    'The server describes a run otherwise than before, or serves another app than the run names.',
    'Ask the operator: the guard refuses the run from now on.',
  ),
  OPERATOR_UNAUTHENTICATED: entry(
    'unauthenticated',
    'The operator token or log-in is missing, wrong or over.',
    'Point --token-file at your token, or type `aegis login --address HOST:PORT` where the server has accounts.',
  ),
  OPERATOR_FORBIDDEN: entry(
    'forbidden',
    'The role of this operator does not allow that.',
    'Ask whoever administers the server: `aegis operators ls` shows roles, docs/operations.md what each may do.',
  ),
  AUDIT_NOT_KEPT: entry(
    'not-found',
    'This server keeps no audit log.',
    'Operator: give the gateways an `audit-key-file`; `aegis up` makes one.',
  ),
  AUDIT_DAMAGED: entry(
    'internal',
    'The audit log does not verify: it was changed, or was written with another key.',
    'Operator: keep what NATS holds (stream JOURNAL_audit) as evidence; docs/operations.md says how to go on.',
  ),
  CONTROL_NOT_HERE: entry(
    'forbidden',
    'This caller may not use the Control API.',
    'Run the command on the server, or let the operator set `control: open` (aegis up --control open).',
  ),
  ENROLMENT_CLOSED: entry(
    'conflict',
    'Nodes cannot register themselves here.',
    'Ask the operator for an invitation (aegis nodes invite), or to register the public key of this node.',
  ),
  INVITATION_REFUSED: entry(
    'unauthenticated',
    'The invitation lets nobody in, or not any more.',
    'Check that the token is whole. If you used it before, ask with the same key, or the same claim; else ask the operator for a new one (aegis nodes invite).',
  ),
  INVITATION_NOT_FOUND: entry('not-found', 'There is no such invitation.', 'See `aegis nodes invitations`.'),
  INVITATION_USED: entry(
    'conflict',
    'The invitation was used already.',
    'Take back the node that it made: aegis nodes remove ID.',
  ),
  INVITATION_TIME: entry('invalid', 'An invitation is not good for so long.', 'Use one minute to 30 days.'),
  NODE_KEY_INVALID: entry('invalid', 'The public key cannot be used.', 'Use an EC key on P-256, P-384 or P-521.'),
  NODE_KEY_IN_USE: entry(
    'conflict',
    'This public key is registered already.',
    'Use another key, or remove the old node first.',
  ),
  NODE_NOT_FOUND: entry('not-found', 'There is no such node.', 'See `aegis nodes ls`.'),
  HEARTBEAT_INTERVAL: entry('invalid', 'The heartbeat interval is out of range.', 'Use 10 to 1800 seconds.'),

  // apps, plans, runs
  APP_MALFORMED: entry(
    'invalid',
    'The app bundle (FAB) is not acceptable.',
    'Build it with `flwr build`; the message names the entry.',
  ),
  APP_TOO_LARGE: entry(
    'too-large',
    'The app bundle (FAB) is larger than 10 MiB.',
    'Leave data and models out of the bundle.',
  ),
  APP_NOT_FOUND: entry('not-found', 'There is no such app.', 'Run it once more with `flwr run`.'),
  PLAN_MISSING: entry('conflict', 'No plan is known for this app.', 'Type: aegis app import DIR'),
  PLAN_INVALID: entry('invalid', 'The plan of this run is not acceptable.', 'Correct the key that the message names.'),
  RUN_NOT_FOUND: entry('not-found', 'There is no such run.', 'See `aegis runs ls` or `flwr ls`.'),
  RUN_FINISHED: entry('conflict', 'The run is finished already.', 'Nothing is left to stop.'),
  RUN_OWNED: entry(
    'conflict',
    'The run has an owner that is at work.',
    'Nothing; take it over only when its owner, and the volume of its owner, are lost.',
  ),
  RUN_NOT_ACTIVE: entry('over', 'The run is over.', 'Nothing: the node goes on with its next task.'),
  MODEL_NOT_FOUND: entry('not-found', 'There is no such model.', 'See `aegis models ls`.'),
  MODEL_MALFORMED: entry('invalid', 'The model file cannot be read.', 'Use .npz or .safetensors with numeric arrays.'),

  MODEL_DAMAGED: entry(
    'internal',
    'A stored model is not the one that its name says.',
    'Somebody changed it, or the disk did. Import it again from an export, or take the newest backup.',
  ),

  INTAKE_CORRUPT: entry(
    'internal',
    'Acknowledged answers on the disk are damaged.',
    'Check the disk. Start the run anew from its newest model; `aegis models ls` has it.',
  ),

  // the privacy ledger
  PRIVACY_NOT_SERVED: entry(
    'not-found',
    'This suite has no privacy accountant.',
    'Operator: start one and name it in the configuration (`accountant.address`); `aegis up` brings one.',
  ),
  PRIVACY_BUDGET_EXHAUSTED: entry(
    'conflict',
    'The privacy budget does not cover this.',
    'The message says what was asked, what is left and what would fit; `aegis budget ls` shows the budgets, `aegis budget set` changes one.',
  ),
  PRIVACY_NOISE_LOST: entry(
    'internal',
    "The secret of the run's tree noise is gone.",
    'Operator: restore the intake volume if you can, else start a new run from the last model. New noise must not take the place of noise that models have already: that is not what was accounted.',
  ),
  PRIVACY_NOISE_USED: entry(
    'internal',
    'The noise of this round is in another sum already.',
    'Operator: start a new run from the last model. Two sums with the same noise would tell their difference, so nothing was written.',
  ),
  PRIVACY_EVENT_INVALID: entry(
    'invalid',
    'The privacy event cannot be accounted for.',
    'Correct the field that the message names; docs/privacy.md has the vocabulary.',
  ),
  PRIVACY_UNIT_UNPROTECTED: entry(
    'invalid',
    'This unit is not protected by what the server does.',
    'Use `node` (or `user`): a clip of whole updates says nothing about single examples.',
  ),
  PRIVACY_UNITS: entry(
    'invalid',
    'The units of the reservation are not acceptable.',
    'Name everyone whom the events may concern, once, by the pseudonym that the gateway made.',
  ),
  PRIVACY_POLICY_INVALID: entry(
    'invalid',
    'The privacy policy of this run is not acceptable.',
    'Correct the field that the message names.',
  ),
  PRIVACY_POLICY_CHANGED: entry(
    'conflict',
    'The privacy policy of a run is fixed with its first reservation.',
    'Start another run to use another policy.',
  ),
  PRIVACY_KEY_CONFLICT: entry(
    'conflict',
    'This idempotency key was used for another reservation.',
    'Use a key for one attempt only; repeat an attempt with the same content.',
  ),
  PRIVACY_RESERVATION_NOT_FOUND: entry(
    'not-found',
    'There is no such reservation.',
    'Reserve first; `aegis ledger show` lists what the ledger knows.',
  ),
  PRIVACY_RESERVATION_COMMITTED: entry(
    'conflict',
    'The reservation is committed already.',
    'Nothing: what has left cannot be taken back.',
  ),
  PRIVACY_RESERVATION_RELEASED: entry(
    'conflict',
    'The reservation was released.',
    'Nothing of it may leave; reserve again under a new key.',
  ),
  PRIVACY_RELEASE_UNPROVEN: entry(
    'invalid',
    'A reservation is released only when provably nothing left.',
    'Say the proof; without one it stays spent.',
  ),
  PRIVACY_BUDGET_EDIT: entry(
    'conflict',
    'The budget cannot be changed like this.',
    'What is spent stays spent: the message says what is possible.',
  ),
  PRIVACY_PARTITION: entry(
    'conflict',
    'The partition of the data set is not declared, or not disjoint.',
    'Declare it with `aegis budget set --partition`; a unit belongs to one partition of a data set.',
  ),
  PRIVACY_NOTHING_SPENT: entry(
    'not-found',
    'The ledger knows of nothing that left this run.',
    'Statements are about runs whose plan asks for privacy; `aegis ledger show` lists what is known.',
  ),
  PRIVACY_LEDGER_DAMAGED: entry(
    'internal',
    'The privacy ledger does not verify, so nothing is granted.',
    'Operator: `aegis ledger verify` names what is wrong; docs/operations.md says what to do.',
  ),

  // tasks, parts, updates
  TASK_NOT_FOUND: entry(
    'over',
    'There is no such task for this node.',
    'Nothing: it was withdrawn, or belongs to another node.',
  ),
  TASK_CLOSED: entry(
    'over',
    'The round no longer takes answers to this task.',
    'Nothing: the answer came after the round closed.',
  ),
  TASK_NOT_YOURS: entry('invalid', 'The task belongs to another node.', 'A node can only answer its own tasks.'),
  TASK_ANSWERED: entry('conflict', 'This task was answered already.', 'Nothing: the first answer counts.'),
  REPLY_MALFORMED: entry('invalid', 'The reply does not have the form of an answer.', 'The message names the field.'),
  OBJECT_TREE: entry('invalid', 'The object tree is not acceptable.', 'The message says what is wrong with it.'),
  OBJECT_MALFORMED: entry(
    'invalid',
    'The object does not have the layout of its type.',
    'The message names the object.',
  ),
  PART_HASH: entry(
    'invalid',
    'The content does not have the hash it was announced with.',
    'Send it again; memory or network may have changed it.',
  ),
  PART_NOT_ANNOUNCED: entry('invalid', 'This object was never announced.', 'Announce it with push-messages first.'),
  PART_NOT_FOUND: entry('not-found', 'There is no such object.', 'Nothing: its run is over.'),
  UPDATE_TENSORS: entry(
    'invalid',
    "The update's tensors are not those of the model.",
    'Return the arrays under the names, shapes and dtypes received.',
  ),
  UPDATE_NOT_FINITE: entry(
    'invalid',
    'The update contains NaN or infinite values.',
    'Check the learning rate and the data of this node.',
  ),
  UPDATE_TENSOR_MALFORMED: entry(
    'invalid',
    'A tensor of the update is not a valid .npy array.',
    'Send plain numeric numpy arrays.',
  ),
  UPDATE_NORM: entry(
    'invalid',
    'The update is larger than the plan allows.',
    'Check the training, or raise the limit in the plan.',
  ),
  UPDATE_WEIGHT: entry(
    'invalid',
    "The update's weight is missing, not positive, or absurd.",
    'Report num-examples (or the weighted-by-key) as a positive number.',
  ),
  UPDATE_METRICS: entry('invalid', "The update's metrics are not acceptable.", 'Report numbers or lists of numbers.'),

  // secure aggregation
  SECAGG_ROUND_OVER: entry(
    'over',
    'The masked round is over for this node.',
    'Forget its keys and report the task as failed; a later round has fresh ones.',
  ),
  SECAGG_REFUSED: entry(
    'conflict',
    'A node takes no part in this masked round.',
    'The reason is in the detail, and in the audit file of its guard: docs/secure-aggregation.md has the list.',
  ),
  SECAGG_SECOND_ANSWER: entry(
    'conflict',
    'The node answered this stage already, with something else.',
    'Answer a stage once. A guard that lost its journal takes part in the next round again.',
  ),
  SECAGG_ANSWER: entry(
    'invalid',
    'The answer to a stage of secure aggregation is not what the stage asks for.',
    'Check that guard and server are of releases that fit together.',
  ),
  SECAGG_CERTIFICATE: entry(
    'unauthenticated',
    'The signing certificate is not one that the federation made for a node that is in use now.',
    'Issue one with: aegis ca issue NAME --kind signing.',
  ),
  SECAGG_KEY_CONFLICT: entry(
    'conflict',
    'The masked round is known already, with other content.',
    'Nothing is opened under it again; begin a new attempt.',
  ),
  SECAGG_TOO_FEW: entry(
    'conflict',
    'Too few nodes are left to open the sum of a masked round.',
    "Nothing was opened. Ask more nodes, or plan for more that drop out (aegis.secagg.dropouts; with Flower's SecAgg+ a lower aegis.secagg.reconstruction-threshold).",
  ),
  SECAGG_NOT_SERVED: entry(
    'not-found',
    'This suite runs no masked rounds: its secagg service knows no root of a federation.',
    'Operator: name the root that issued the signing certificates (`federation-root`; `aegis up --client-certificates accept --client-ca FILE`).',
  ),
  SECAGG_SUM: entry(
    'conflict',
    'What is left when the masks are gone is not the sum of as many honest answers.',
    'Nothing of it was used. A node, or somebody on the way, sent what does not fit; a new attempt has fresh keys.',
  ),
  ANSWER_NOT_MASKED: entry(
    'invalid',
    'The task asks for a masked answer, and this one is not, or the other way round.',
    'Put a guard with a signing certificate before the node.',
  ),
} as const satisfies Record<string, CatalogEntry>;

export type ErrorCode = keyof typeof catalog;
