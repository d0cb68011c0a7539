export { conformanceSuite } from './conformance.ts';
export { type TestPki, testPki } from './dev-pki.ts';
export { eventually } from './eventually.ts';
export { FakeClock } from './fake-clock.ts';
export { http2Frames } from './http2-frames.ts';
export { startTestNats, type TestNats, withNats } from './nats.ts';
export { seededRandom } from './seeded-random.ts';
export { recordingTelemetry, type SpanTree, spanTrees } from './spans.ts';
export { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';
