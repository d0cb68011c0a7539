"""One node of examples/digits-numpy, without Flower: python train.py HOST:9443 ca.pem 2/3   (share 2 of 0, 1, 2)"""

import sys

import aegis_fl
import numpy as np
from sklearn.datasets import load_digits

node, nodes = map(int, sys.argv[3].split("/"))
images, labels = load_digits(return_X_y=True)
x, y = images[node::nodes].astype(np.float32) / 16, np.eye(10, dtype=np.float32)[labels[node::nodes]]
client = aegis_fl.Client(sys.argv[1], root_certificates=sys.argv[2], key="node.key")


def predict(model, x):
    hidden = np.maximum(x @ model["hidden.weight"] + model["hidden.bias"], 0)
    scores = np.exp(hidden @ model["output.weight"] + model["output.bias"])
    return hidden, scores / scores.sum(axis=1, keepdims=True)


@client.train
def train(model, config):
    for _ in range(100):  # gradient descent on the cross-entropy; the arrays are ours to change
        hidden, guess = predict(model, x)
        slope = (guess - y) / len(x)
        back = slope @ model["output.weight"].T * (hidden > 0)
        for layer, seen, error in (("output", hidden, slope), ("hidden", x, back)):
            model[f"{layer}.weight"] -= config["learning-rate"] * (seen.T @ error)
            model[f"{layer}.bias"] -= config["learning-rate"] * error.sum(axis=0)
    return model, evaluate(model, config)


@client.evaluate
def evaluate(model, config):
    right = predict(model, x)[1][y > 0]
    return {"num_examples": len(x), "accuracy": (right > 0.5).mean(), "loss": -np.log(right + 1e-9).mean()}


if __name__ == "__main__":
    client.run()  # until Ctrl-C
