import * as control from '@aegis/contracts/flwr/proto/control';
import * as fab from '@aegis/contracts/flwr/proto/fab';
import * as fleet from '@aegis/contracts/flwr/proto/fleet';
import * as heartbeat from '@aegis/contracts/flwr/proto/heartbeat';
import * as message from '@aegis/contracts/flwr/proto/message';
import * as run from '@aegis/contracts/flwr/proto/run';
import { rawField } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { sha256HexSync } from './hash.ts';
import { readObject } from './objects.ts';
import { type RecordedCall, readExcerpt, readTranscript, recordedObjects, transcriptNames } from './recorded.ts';

interface Codec {
  decode(bytes: Uint8Array): unknown;
  encode(value: never): { finish(): Uint8Array };
}

const codecs: Record<string, [Codec, Codec]> = {
  'fleet/register-node': [fleet.RegisterNodeFleetRequest, fleet.RegisterNodeFleetResponse],
  'fleet/activate-node': [fleet.ActivateNodeRequest, fleet.ActivateNodeResponse],
  'fleet/create-node': [fleet.CreateNodeRequest, fleet.CreateNodeResponse],
  'fleet/delete-node': [fleet.DeleteNodeRequest, fleet.DeleteNodeResponse],
  'fleet/deactivate-node': [fleet.DeactivateNodeRequest, fleet.DeactivateNodeResponse],
  'fleet/unregister-node': [fleet.UnregisterNodeFleetRequest, fleet.UnregisterNodeFleetResponse],
  'fleet/send-node-heartbeat': [heartbeat.SendNodeHeartbeatRequest, heartbeat.SendNodeHeartbeatResponse],
  'fleet/pull-messages': [fleet.PullMessagesRequest, fleet.PullMessagesResponse],
  'fleet/push-messages': [fleet.PushMessagesRequest, fleet.PushMessagesResponse],
  'fleet/get-run': [run.GetRunRequest, run.GetRunResponse],
  'fleet/get-fab': [fab.GetFabRequest, fab.GetFabResponse],
  'fleet/push-object': [message.PushObjectRequest, message.PushObjectResponse],
  'fleet/pull-object': [message.PullObjectRequest, message.PullObjectResponse],
  'fleet/confirm-message-received': [message.ConfirmMessageReceivedRequest, message.ConfirmMessageReceivedResponse],
  'control/start-run': [control.StartRunRequest, control.StartRunResponse],
  'control/stop-run': [control.StopRunRequest, control.StopRunResponse],
  'control/list-runs': [control.ListRunsRequest, control.ListRunsResponse],
  'control/stream-logs': [control.StreamLogsRequest, control.StreamLogsResponse],
  'control/list-nodes': [control.ListNodesRequest, control.ListNodesResponse],
  'control/register-node': [control.RegisterNodeRequest, control.RegisterNodeResponse],
  'control/list-federations': [control.ListFederationsRequest, control.ListFederationsResponse],
  'control/get-login-details': [control.GetLoginDetailsRequest, control.GetLoginDetailsResponse],
};

const codecsOf = ({ path, method }: RecordedCall): [Codec, Codec] =>
  codecs[`${path.toLowerCase().includes('fleet') ? 'fleet' : 'control'}/${method}`] ??
  expect.fail(`no codec for ${path}`);

const again = (codec: Codec, bytes: Buffer): Buffer => Buffer.from(codec.encode(codec.decode(bytes) as never).finish());

/** Frames of a recorded stream; gRPC recordings hold the messages already joined, so only HTTP is split. */
function frames(body: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32BE(at);
    found.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

describe.each(transcriptNames)('%s', (name) => {
  for (const [source, calls] of [
    ['excerpt', readExcerpt(name)],
    ['whole recording', readTranscript(name)],
  ] as const) {
    it(`${source}: every request and answer decodes and is written again byte for byte`, () => {
      expect(calls.length).toBeGreaterThan(0);
      for (const call of calls) {
        const [request, response] = codecsOf(call);
        expect(again(request, call.request).equals(call.request), `request ${call.seq}`).toBe(true);
        if (call.status !== 200 && call.status !== 'OK') continue;
        if (call.path.startsWith('/v1') && call.stream) {
          for (const frame of frames(call.response)) expect(again(response, frame).equals(frame)).toBe(true);
        } else if (!call.path.endsWith('StreamLogs')) {
          const rewritten = again(response, call.response);
          // Map entries come in any order, and Python writes a value of 0 in them where we leave it out.
          if (!rewritten.equals(call.response)) {
            expect(response.decode(rewritten), `answer ${call.seq}`).toEqual(response.decode(call.response));
          }
        }
      }
    });
  }

  it('every object has the hash it is called by, and a layout we accept', () => {
    for (const [id, bytes] of recordedObjects(readTranscript(name), rawField.split)) {
      expect(sha256HexSync([bytes])).toBe(id);
      readObject(bytes);
    }
  });
});
