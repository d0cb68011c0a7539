export * from './control-contract.ts';
export { type ControlAnswer, ControlService, type ControlServiceOptions } from './control-service.ts';
export { drained } from './drained.ts';
export * from './fleet-contract.ts';
export { type CallHead, FleetService } from './fleet-service.ts';
export { addFlowerServices, type GrpcDoorOptions, grpcServerOptions } from './grpc-door.ts';
export { type BodyLease, createHttpDoor, type HttpDoor, type HttpDoorOptions } from './http-door.ts';
export * from './join-messages.ts';
export { limits } from './limits.ts';
export { makeMessageObject, readMessage, SERVER_NODE_ID, sameMessage } from './message.ts';
export {
  checkCredential,
  checkTimestamp,
  isoTime,
  parseTimestamp,
  readCredential,
  type VerifySignature,
} from './node-auth.ts';
export * from './object-tree.ts';
export * from './objects.ts';
export { listenOnePort, type OnePort, type OnePortLimits, type OnePortOptions, type PortTls } from './one-port.ts';
export * from './parse-reply.ts';
export { announcedLength, BodyPace, discardRest, readBody } from './read-body.ts';
export * from './records.ts';
export * from './render-task.ts';
export * from './secaggplus.ts';
export { type FlowerStatus, flowerStatus, grpcDetails, httpErrorBody, type StatusOf } from './status.ts';
export * from './suite-contracts.ts';
export { releaseOf } from './versions.ts';
