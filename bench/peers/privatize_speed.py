"""Milliseconds to privatise an update of 100 thousand and a million float32, median of calls; and the peer's way to noise. One JSON object to argv[2].

argv[1] is `aegis` (aegis_fl on the exact sampler) or `peer` (clipping and np.random.normal, as flwr's LocalDpMod does: not secure, not exact).
"""
import json
import sys
import time

import numpy as np

SIZES = {"privatize-100k-ms": 100_000, "privatize-1m-ms": 1_000_000}
CALLS = 15


def aegis():
    from aegis_fl import FlClientCore

    return FlClientCore("", dp_sigma=0.5, dp_threshold=1.0).privatize_update


def peer():
    def privatize(update):
        norm = np.linalg.norm(update)
        clipped = update * min(1.0, 1.0 / norm)
        return (clipped + np.random.normal(0, 0.5, update.shape)).astype(update.dtype)

    return privatize


def milliseconds(privatize, size):
    update = (np.random.default_rng(size).standard_normal(size) / 100).astype(np.float32)
    privatize(update)
    times = []
    for _ in range(CALLS):
        began = time.process_time()
        privatize(update)
        times.append(time.process_time() - began)
    return sorted(times)[CALLS // 2] * 1e3


def numpy_msps():
    size = 1 << 20
    best = min(timed(lambda: np.random.normal(0.0, 1.0, size)) for _ in range(10))
    return size / best / 1e6


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


privatize = {"aegis": aegis, "peer": peer}[sys.argv[1]]()
figures = {name: milliseconds(privatize, size) for name, size in SIZES.items()}
if sys.argv[1] == "peer":
    figures["noise-msps"] = numpy_msps()
with open(sys.argv[2], "w", encoding="utf-8") as out:
    json.dump(figures, out)
