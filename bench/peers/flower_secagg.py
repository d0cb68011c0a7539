"""CPU seconds of the primitives of Flower's SecAgg+, as flwr 1.41 calls them. Writes one JSON object to argv[1].

Each primitive is timed alone; whole rounds of 500 nodes would take it hours. secagg.ts multiplies.
"""
import io
import json
import os
import sys
import time

import numpy as np
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.supercore.primitives.asymmetric import generate_key_pairs

LENGTH, NODES, THRESHOLD = 100_000, 500, 251


def cpu(work, times=1):
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


vector = [np.zeros(LENGTH, dtype=np.int64)]
own, peer = generate_key_pairs(), generate_key_pairs()
key = generate_shared_key(own[0], peer[1])
token = encrypt(key, bytes(396))
block = os.urandom(15)  # one block of 16 with its padding
shares = create_shares(block, THRESHOLD, NODES)
combined = cpu(lambda: combine_shares(shares[:THRESHOLD]))
masked = io.BytesIO()
np.save(masked, vector[0])
report = {
    # of one mask of LENGTH elements: expanded and added
    "mask": cpu(lambda: parameters_addition(vector, pseudo_rand_gen(os.urandom(32), 1 << 32, [(LENGTH,)])), 40),
    "agreement": cpu(lambda: generate_shared_key(own[0], peer[1]), 100),
    "seal": cpu(lambda: encrypt(key, bytes(396)), 200),
    "open": cpu(lambda: decrypt(key, token), 200),
    # of one block of 16 bytes: a 32-byte seed has 3 with its padding, a private key 20
    "splitBlock": cpu(lambda: create_shares(block, THRESHOLD, NODES)),
    "combineBlock": combined,
    "quantise": cpu(lambda: quantize([np.zeros(LENGTH, dtype=np.float32)], 8.0, 1 << 22), 20),
    "bytesPerParameter": len(masked.getvalue()) / LENGTH,
    "length": LENGTH,
}
with open(sys.argv[1], "w", encoding="utf-8") as out:
    json.dump(report, out)
