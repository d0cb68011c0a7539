"""flwr's own aggregation of 40 MB updates, as FedAvg calls it after a round. Writes one JSON object to argv[1]."""
import json
import sys
import time

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

UPDATES = 10
PASSES = 2
SIZES = (4_500_000, 4_500_000, 900_000, 100_000)


def update(seed: int) -> RecordDict:
    rng = np.random.default_rng(seed)
    arrays = {f"layer{i}": Array(rng.standard_normal(size, dtype=np.float32)) for i, size in enumerate(SIZES)}
    return RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 20 + seed})})


updates = [update(seed) for seed in range(UPDATES)]
# Warm, as the other side is: memory allocated and touched once.
aggregate_arrayrecords(updates, "num-examples")
wall, cpu = time.perf_counter(), time.process_time()
for _ in range(PASSES):
    aggregate_arrayrecords(updates, "num-examples")
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
report = {
    "gigabytes": PASSES * UPDATES * sum(SIZES) * 4 / 1e9,
    "cpuSeconds": cpu,
    "wallSeconds": wall,
    "detail": "flwr 1.41.0 aggregate_arrayrecords on updates in memory",
}
with open(sys.argv[1], "w", encoding="utf-8") as out:
    json.dump(report, out)
