"""Answers, for each input that Aegis took, whether Flower (or numpy, or Python itself) takes it as well.

stdin: for each question the length of its kind and of its bytes (two uint32, big-endian), then both. stdout: the length of
the refusal (uint32, big-endian; 0: it is taken), then the refusal.
"""

import io
import json
import struct
import sys
import warnings
import zipfile
from datetime import datetime

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.message.arraychunk import ArrayChunk
from flwr.common.config import get_fab_config, get_metadata_from_config
from flwr.proto import control_pb2, fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, recorddict_pb2, run_pb2, transport_pb2
from flwr.supercore.inflatable import inflatable_object as inflatable

warnings.simplefilter("ignore")

MESSAGES = {
    "fleet/register-node": fleet_pb2.RegisterNodeFleetRequest,
    "fleet/activate-node": fleet_pb2.ActivateNodeRequest,
    "fleet/deactivate-node": fleet_pb2.DeactivateNodeRequest,
    "fleet/unregister-node": fleet_pb2.UnregisterNodeFleetRequest,
    "fleet/send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
    "fleet/pull-messages": fleet_pb2.PullMessagesRequest,
    "fleet/push-messages": fleet_pb2.PushMessagesRequest,
    "fleet/get-run": run_pb2.GetRunRequest,
    "fleet/get-fab": fab_pb2.GetFabRequest,
    "fleet/push-object": message_pb2.PushObjectRequest,
    "fleet/pull-object": message_pb2.PullObjectRequest,
    "fleet/confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
    "join": transport_pb2.ClientMessage,
    "record/ConfigRecord": recorddict_pb2.ConfigRecord,
    "record/MetricRecord": recorddict_pb2.MetricRecord,
    "record/Message": message_pb2.Message,
}


def control(name):
    stem = "".join(word.capitalize() for word in name.split("-"))
    return getattr(control_pb2, f"{stem}Request", None)


def read_object(data):
    kind = inflatable.get_object_type_from_object_content(data)
    types = (Array, ArrayChunk, ArrayRecord, ConfigRecord, MetricRecord, RecordDict)
    known = {one.__name__: one for one in types}.get(kind)
    ids = inflatable.get_object_children_ids_from_object_content(data)
    if known is None:  # a Message: its body is asked about by itself
        message_pb2.Message.FromString(inflatable.get_object_body(data, Message))
        return
    if known is Array:
        known.inflate(data, {one: ArrayChunk(b"") for one in ids})
    elif known is ArrayRecord:
        known.inflate(data, {one: Array("float32", (0,), "numpy.ndarray", b"") for one in ids})
    elif known is RecordDict:
        known.inflate(data, {one: ConfigRecord() for one in ids})
    else:
        known.inflate(data)


class Unchecked(zipfile.ZipExtFile):
    """Aegis passes members of an archive on by their place in it, under SHA-256 of their own: it does not look at CRC-32."""

    def _update_crc(self, newdata):
        pass


def read_npz(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for name in arrays.files:
            arrays[name]


def without_checksums(read):
    def reading(data):
        checked, zipfile.ZipExtFile = zipfile.ZipExtFile, Unchecked
        try:
            read(data)
        finally:
            zipfile.ZipExtFile = checked

    return reading


def read_safetensors(data):
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length].decode())
    assert isinstance(header, dict)


def read_fab(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None, "a member is damaged"
    get_metadata_from_config(get_fab_config(data))


def read_csr(data):
    from cryptography import x509

    assert x509.load_der_x509_csr(data).is_signature_valid, "the signature is wrong"


READERS = {
    "object": read_object,
    "npy": lambda data: np.load(io.BytesIO(data), allow_pickle=False),
    "npz": without_checksums(read_npz),
    "safetensors": read_safetensors,
    "fab": read_fab,
    "csr": read_csr,
    "json": lambda data: json.loads(data.decode()),
    "timestamp": lambda data: datetime.fromisoformat(data.decode()),
}


def reader_of(kind):
    if kind in READERS:
        return READERS[kind]
    message = control(kind.removeprefix("control/")) if kind.startswith("control/") else MESSAGES.get(kind)
    return message.FromString if message else None


def main():
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while head := source.read(8):
        kind_length, length = struct.unpack(">II", head)
        kind, data = source.read(kind_length).decode(), source.read(length)
        read = reader_of(kind)
        answer = ""
        if read is None:
            answer = f"unknown question: {kind}" if "/" not in kind else ""
        else:
            try:
                read(data)
            except Exception as error:  # whatever it is, it is a refusal
                answer = f"{type(error).__name__}: {error}"[:300]
        text = answer.encode("utf-8", "replace")
        sink.write(struct.pack(">I", len(text)) + text)
        sink.flush()


main()
