export { writeFileAtomic } from './atomic-file.ts';
export { type ChainedLine, type ChainedPage, ChainedPages, type ChainPosition } from './chained-pages.ts';
export { type Clock, systemClock } from './clock.ts';
export { checkConfig, loadConfig, parseConfig, secretFile } from './config.ts';
export { counterFromZero } from './counter-from-zero.ts';
export { createTelemetry, type TelemetryOptions } from './create-telemetry.ts';
export { createCa, type DevPki, issueLeaf, type LeafRequest, openDevPki } from './dev-pki.ts';
export {
  type CertificateKind,
  type CertificateRequest,
  certifiedUser,
  createCrl,
  createRoot,
  type FederationCertificate,
  federationIdentity,
  isFederationName,
  issueCertificate,
  type Revoked,
  subjectOf,
} from './federation-ca.ts';
export {
  certifyGuard,
  createIssuer,
  createSigningRequest,
  type NodeChain,
  openNodeChain,
  readSigningRequest,
} from './federation-issuer.ts';
export { type GrpcChannelOptions, grpcChannel, maxMessageBytes } from './grpc-channel.ts';
export { type GrpcServer, type ServeGrpcOptions, serveGrpc } from './grpc-server.ts';
export { fromGrpcStatus, grpcStatusOf, toGrpcStatus } from './grpc-status.ts';
export { healthService } from './health.ts';
export { inProcessChannel } from './in-process-channel.ts';
export { orAborted } from './invoke.ts';
export { keepFirst } from './keep-first.ts';
export { onShutdown, runService, type Shutdown, type Stoppable } from './lifecycle.ts';
export { createLogger, type Logger, type LoggerOptions, type LogLevel, silentLogger } from './logger.ts';
export { LOOK_EVERY_MS, lookAgain } from './look-again.ts';
export { type MessageCodec, messageCodec } from './message-codec.ts';
export { noTelemetry } from './no-telemetry.ts';
export { peerChannel, standbyChannel } from './peer-channel.ts';
export { isOpenToOthers } from './private-file.ts';
export {
  drainAfterConfig,
  hostPort,
  listenShape,
  logConfig,
  metricsConfig,
  type PeerConfig,
  peerConfig,
  peersConfig,
  standbyPeerConfig,
} from './process-config.ts';
export { type Random, randomFrom, systemRandom } from './random.ts';
export { rawField, type SplitMessage } from './raw-field.ts';
export { Revocations } from './revocations.ts';
export { secondsHistogram } from './seconds-histogram.ts';
export { Secret } from './secret.ts';
export {
  type CallContext,
  type CallOptions,
  type HandlersOf,
  type LocalService,
  type MethodDefinition,
  type ServiceChannel,
  type ServiceClient,
  type ServiceDefinition,
  type StreamHandler,
  serviceOf,
  type UnaryHandler,
} from './service.ts';
export { type ProcessParts, serviceProcess } from './service-process.ts';
export { type CertifiedKey, openSigningCertificate, readRoots } from './signing-certificate.ts';
export { SigningTrust, type SigningTrustFiles } from './signing-trust.ts';
export { strictText } from './strict-text.ts';
export { failSpan, type SpanOptions, type Telemetry } from './telemetry.ts';
export { readTls, type TlsFiles, type TlsMaterial, tlsFiles } from './tls-material.ts';
export { type CertificateUse, watchCertificate } from './watch-certificate.ts';
export { watchVolume } from './watch-volume.ts';
export { whenStuck } from './when-stuck.ts';
export type { IssuedCertificate } from './x509.ts';
export { passedBytes } from './young-garbage.ts';
export { ZIP_END_BYTES, ZIP_NEWEST, zipEndFault } from './zip-end.ts';
