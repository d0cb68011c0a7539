"""Code of a node of examples/digits-numpy: hyperparameter code = digits.py. Its data is one file, x and y, in the channel `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

STEPS = 100


def setup(channels: dict[str, Path], hyperparameters: dict[str, str]) -> tuple[Any, Any]:
    with np.load(channels["train"] / "digits.npz") as data:
        x, y = data["x"].astype(np.float32), np.eye(10, dtype=np.float32)[data["y"]]
    steps = int(hyperparameters.get("steps", STEPS))

    def predict(model: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.maximum(x @ model["hidden.weight"] + model["hidden.bias"], 0)
        scores = hidden @ model["output.weight"] + model["output.bias"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, scores / scores.sum(axis=1, keepdims=True)

    def train(model: dict[str, np.ndarray], config: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        for _ in range(steps):
            config.raise_if_cancelled()
            hidden, guess = predict(model)
            slope = (guess - y) / len(x)
            back = slope @ model["output.weight"].T * (hidden > 0)
            for layer, seen, error in (("output", hidden, slope), ("hidden", x, back)):
                model[f"{layer}.weight"] -= config["learning-rate"] * (seen.T @ error)
                model[f"{layer}.bias"] -= config["learning-rate"] * error.sum(axis=0)
        return model, evaluate(model, config)

    def evaluate(model: dict[str, np.ndarray], config: Any) -> dict[str, Any]:
        _, guess = predict(model)
        right = guess[y > 0]
        return {
            "num_examples": len(x),
            "accuracy": float((guess.argmax(axis=1) == y.argmax(axis=1)).mean()),
            "loss": float(-np.log(right + 1e-9).mean()),
        }

    return train, evaluate
