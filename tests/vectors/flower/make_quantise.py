"""Writes quantise.json beside this file: Flower's own rounding, weights and means, called in the release installed here.

    $(scripts/flwr-venv.sh 1.41.0)/python tests/vectors/flower/make_quantise.py

Doubles are the decimal numbers of their 64 bits, so that nothing is lost in printing.
"""

import json
import struct
from pathlib import Path

import flwr
import numpy as np
from flwr.common.secure_aggregation.quantization import dequantize, quantize


def bits(values):
    return [str(struct.unpack("<Q", struct.pack("<d", value))[0]) for value in values]


cases = []
for seed, (clip, target, modulus, heaviest) in enumerate(
    [(8.0, 1 << 22, 1 << 32, 200.0), (3.0, 1 << 16, 1 << 24, 1000.0), (0.7, 1000, 1 << 20, 7.0)]
):
    rng = np.random.RandomState(seed)
    values = np.concatenate([rng.randn(40) * clip, [clip, -clip, 0.0, 1e-12, -1e-12, 2 * clip]])
    np.random.seed(seed)
    quantised = quantize([values], clip, target)[0]
    np.random.seed(seed)
    chances = np.random.rand(len(values))
    delivered, weight_sum = 5, int(3.3 * target)
    sums = rng.randint(0, 5 * target, 40).astype(np.int64) + modulus * rng.randint(-3, 3, 40)
    # the lines of SecAggPlusWorkflow after the masks are gone
    means = dequantize([np.asarray(sums & (modulus - 1))], clip, target)[0]
    means += -(delivered - 1) * clip
    means *= target / weight_sum
    examples = [1, 2, 5, 7, 100, 199]
    cases.append({
        "clipping_range": clip, "target_range": target, "mod_range": modulus, "max_weight": heaviest,
        "values": bits(values), "chances": bits(chances), "quantised": [int(value) for value in quantised],
        "delivered": delivered, "weight_sum": weight_sum, "sums": [int(value) for value in sums], "means": bits(means),
        "examples": examples, "weights": [round(count / heaviest * target) for count in examples],
    })
about = "quantize and dequantize of flwr, the means of its SecAggPlusWorkflow and the weights of its secaggplus_mod."
made = {"flwr": flwr.__version__, "numpy": np.__version__}
text = json.dumps({"about": about, "produced_by": made, "cases": cases}, indent=1)
Path(__file__).with_name("quantise.json").write_text(text + "\n", encoding="utf-8")
