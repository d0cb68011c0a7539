"""The data, the model and its training; nothing in here knows about Flower."""

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

HIDDEN = 64
CLASSES = 10
ALPHA = 0.3  # small: every node sees few of the ten digits
SEED = 11
BATCH = 16

Arrays = dict[str, np.ndarray]


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1797 images and labels, in a fixed random order.

    They are read straight from the file inside scikit-learn: importing scikit-learn would cost every message two seconds.
    """
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("scikit-learn, which carries the digits, is not installed", name="sklearn")
    text = gzip.decompress((Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz").read_bytes())
    table = np.array(text.replace(b"\n", b",").strip(b",").split(b","), dtype=np.float32).reshape(-1, 65)
    table = table[np.random.RandomState(SEED).permutation(len(table))]
    return table[:, :64] / 16.0, table[:, 64].astype(np.int64)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The fifth of the images that no node ever sees."""
    x, y = digits()
    start = len(x) * 4 // 5
    return x[start:], y[start:]


def partition(index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The images of one node: each digit is dealt out to the nodes in Dirichlet(ALPHA) shares."""
    x, y = digits()
    x, y = x[: len(x) * 4 // 5], y[: len(y) * 4 // 5]
    random = np.random.RandomState(SEED)  # this generator's numbers are frozen: every numpy deals the same
    mine = []
    for digit in range(CLASSES):
        members = np.flatnonzero(y == digit)
        cuts = np.cumsum(random.dirichlet([ALPHA] * count))[:-1]
        mine.append(np.split(members, (cuts * len(members)).astype(int))[index])
    chosen = random.permutation(np.concatenate(mine))
    return x[chosen], y[chosen]


def node_data(index: int, count: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A node's images, split into those it trains on and the tenth it evaluates on."""
    x, y = partition(index, count)
    start = max(1, len(x) * 9 // 10)
    return (x[:start], y[:start]), (x[start:], y[start:])


def initial_arrays() -> Arrays:
    random = np.random.RandomState(SEED)

    def layer(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * np.sqrt(2.0 / rows)).astype(np.float32)

    return {
        "hidden.weight": layer(64, HIDDEN),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": layer(HIDDEN, CLASSES),
        "output.bias": np.zeros(CLASSES, np.float32),
    }


def probabilities(arrays: Arrays, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.maximum(x @ arrays["hidden.weight"] + arrays["hidden.bias"], 0)
    scores = hidden @ arrays["output.weight"] + arrays["output.bias"]
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def train(arrays: Arrays, x: np.ndarray, y: np.ndarray, epochs: int, learning_rate: float, seed: int = 0) -> Arrays:
    """Plain mini-batch SGD on the cross-entropy. Returns new arrays."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    random = np.random.RandomState(seed)
    for _ in range(epochs):
        for batch in np.array_split(random.permutation(len(x)), max(1, len(x) // BATCH)):
            hidden, slope = probabilities(arrays, x[batch])
            slope[np.arange(len(batch)), y[batch]] -= 1
            slope = slope / len(batch)
            back = (slope @ arrays["output.weight"].T) * (hidden > 0)
            steps = {
                "output.weight": hidden.T @ slope,
                "output.bias": slope.sum(axis=0),
                "hidden.weight": x[batch].T @ back,
                "hidden.bias": back.sum(axis=0),
            }
            for name, step in steps.items():
                arrays[name] -= np.float32(learning_rate) * step.astype(np.float32)
    return arrays


def evaluate(arrays: Arrays, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    if len(x) == 0:
        return {"accuracy": 0.0, "loss": 0.0}
    _, guess = probabilities(arrays, x)
    right = guess[np.arange(len(y)), y]
    return {"accuracy": float((guess.argmax(axis=1) == y).mean()), "loss": float(-np.log(right + 1e-9).mean())}


def evaluate_arrays(arrays: Arrays) -> dict[str, float]:
    """Accuracy and loss on the images that no node has seen. Takes a dict or an opened npz."""
    return evaluate({name: np.asarray(arrays[name]) for name in initial_arrays()}, *held_out())


def train_alone(index: int, count: int, rounds: int, epochs: int = 8, learning_rate: float = 0.3) -> Arrays:
    """What one node reaches with its own images and the same effort, without anyone else."""
    arrays = initial_arrays()
    (x, y), _ = node_data(index, count)
    for number in range(1, rounds + 1):
        arrays = train(arrays, x, y, epochs, learning_rate, seed=number)
    return arrays
