"""How good is the federated model, and how good would each node be alone?

    python -m digits_numpy.report MODEL.npz --nodes 5 --rounds 6 [--json]
"""

import argparse
import json

import numpy as np

from digits_numpy import task


def main() -> None:
    parser = argparse.ArgumentParser(prog="digits_numpy.report", description=__doc__)
    parser.add_argument("model", help="npz with the federated model")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with np.load(options.model) as model:
        federated = task.evaluate_arrays(model)
    alone = [task.evaluate_arrays(task.train_alone(i, options.nodes, options.rounds)) for i in range(options.nodes)]
    if options.json:
        print(json.dumps({"federated": federated, "alone": alone}))
        return
    for i, result in enumerate(alone):
        print(f"node {i} alone       accuracy {result['accuracy']:.3f}  loss {result['loss']:.3f}")
    print(f"federated          accuracy {federated['accuracy']:.3f}  loss {federated['loss']:.3f}")


if __name__ == "__main__":
    main()
