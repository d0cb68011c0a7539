"""Trains nothing: sends what is known in advance, and writes down that it did."""

import hashlib
import json
import os

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
ROUND_FACTOR = 1024


def attempt_of(path: str, run: int, round_number: int, model: str) -> int:
    """Counts the executions of this task on this node, and writes this one down before anything is sent."""
    task = f"{run} {round_number}"
    with open(path, "a+", encoding="utf-8") as tasks:
        tasks.seek(0)
        attempt = 1 + tasks.read().splitlines().count(task)
        tasks.write(f"{task}\n")
    # Into the SuperNode's log, in one piece and between the lines of the SuperNode itself: bench/crash/evidence.ts reads it.
    line = {"run": str(run), "round": round_number, "attempt": attempt, "model": model}
    os.write(2, f"\nCRASH-APP {json.dumps(line)}\n".encode())
    return attempt


def digest(arrays: ArrayRecord) -> str:
    """SHA-256 over the values of all arrays, by name."""
    total = hashlib.sha256()
    for name in sorted(arrays.keys()):
        total.update(np.ascontiguousarray(arrays[name].numpy()).tobytes())
    return total.hexdigest()


def weights(size: int, partition: int, round_number: int) -> np.ndarray:
    """Numbers that any language makes alike: a product modulo 2^32, then 2001 steps from -1 to 1."""
    index = np.arange(size, dtype=np.uint32)
    start = np.uint32((40503 * partition + 69069 * round_number) % 2**32)
    mixed = (index + start) * np.uint32(2654435761)
    return (((mixed >> np.uint32(8)) % np.uint32(2001)).astype(np.float64) / 1000 - 1).astype(np.float32)


@app.train()
def train(msg: Message, context: Context) -> Message:
    partition = int(context.node_config["partition-id"])
    nodes = int(context.node_config["num-partitions"])
    round_number = int(msg.content["config"]["server-round"])
    arrays = msg.content["arrays"]
    attempt = attempt_of(str(context.node_config["tasks"]), msg.metadata.run_id, round_number, digest(arrays))
    # One place for "I am in it", one for "this attempt of this round".
    identity = np.zeros(2 * nodes, dtype=np.float32)
    identity[partition] = 1
    identity[nodes + partition] = ROUND_FACTOR * round_number + attempt
    size = arrays["weights"].numpy().size
    out = RecordDict(
        {
            "arrays": ArrayRecord(
                {"identity": Array(identity), "weights": Array(weights(size, partition, round_number))}
            ),
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    return Message(content=out, reply_to=msg)
