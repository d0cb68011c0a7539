import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

CLASSES = np.arange(10)
SHARDS_PER_NODE = 4


def load(partition: int, partitions: int):
    """One node's images, and the fifth of them that it only tests on.

    Sorted by digit and cut into shards, of which every node gets a few: no node sees all digits alike.
    """
    x, y = load_digits(return_X_y=True)
    x = x / 16.0
    shards = np.array_split(np.argsort(y, kind="stable"), partitions * SHARDS_PER_NODE)
    order = np.random.RandomState(3).permutation(len(shards))[partition::partitions]
    mine = np.concatenate([shards[i] for i in order])
    test = np.arange(len(mine)) % 5 == 0
    return x[mine][~test], x[mine][test], y[mine][~test], y[mine][test]


def new_model(learning_rate: float) -> SGDClassifier:
    """A linear classifier that starts from zeros: the same on the server and on every node."""
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=1)
    model.classes_ = CLASSES
    set_weights(model, [np.zeros((10, 64)), np.zeros(10)])
    model.n_features_in_ = 64
    return model


def get_weights(model: SGDClassifier) -> list[np.ndarray]:
    return [model.coef_, model.intercept_]


def set_weights(model: SGDClassifier, weights: list[np.ndarray]) -> None:
    model.coef_, model.intercept_ = (np.array(part, dtype=np.float64, order="C") for part in weights)


def fit(model: SGDClassifier, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    for _ in range(epochs):
        model.partial_fit(x, y, classes=CLASSES)


def evaluate(model: SGDClassifier, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    right = model.predict_proba(x)[np.arange(len(y)), y]
    return float(-np.log(right + 1e-9).mean()), float(model.score(x, y))
