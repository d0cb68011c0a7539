export { type BucketName, type BucketOptions, buckets, maxPayloadBytes } from './buckets.ts';
export { natsConfig, openBus } from './config.ts';
export { type BusCredentials, type BusOptions, connectBus } from './connect.ts';
export {
  type Bucket,
  type BucketEntry,
  type Bus,
  BusConflict,
  type BusEvent,
  fromKeyPart,
  type Journal,
  type JournalRecord,
  type KeyedEntry,
  keyPart,
  type RunLogLine,
  type WatchItem,
} from './contract.ts';
export { type JournalName, journals } from './journals.ts';
export { natsServerBinary } from './nats-binary.ts';
export {
  type NatsServer,
  type NatsServerExit,
  type NatsServerOptions,
  runningNatsServer,
  startNatsServer,
} from './nats-server.ts';
export { openStreamCopies, type StreamCopies, type StreamHead } from './stream-copies.ts';
export { type SubjectMessages, type SubjectName, subjects } from './subjects.ts';
