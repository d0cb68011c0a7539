from __future__ import annotations

from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

import aegis_fl
from aegis_fl import FlClientCore, NotPrivate
from aegis_fl.errors import AnswerInvalid


def core(sigma: float = 1.0, threshold: float = 1.0) -> FlClientCore:
    return FlClientCore("data", dp_sigma=sigma, dp_threshold=threshold)


def test_an_update_is_clipped_and_noised_with_the_deviation_that_was_asked_for() -> None:
    privacy = core(sigma=3.0, threshold=64.0)
    noised = privacy.privatize_update(np.ones(1 << 16, np.float64))  # of norm 256: clipped to 1/4 each
    noise = noised - 0.25
    # 8 deviations of mean and deviation: once in 10^15 runs by chance
    assert abs(noise.mean()) < 8 * 3 / 256
    assert abs(noise.std() / 3 - 1) < 8 / np.sqrt(2 * noise.size)
    assert privacy.last is not None and privacy.last.clipped and privacy.last.norm == 256.0


def test_what_comes_back_has_the_kind_shape_and_type_of_what_was_given() -> None:
    arrays = {
        "f4": np.zeros((3, 5), np.float32),
        "f2": np.zeros((), np.float16),
        "f8": np.zeros((2, 0), np.float64),
        "big": np.zeros(4, ">f4"),
        "bf16": np.zeros(7, ml_dtypes.bfloat16),
        "turned": np.zeros((4, 6), np.float32).T,
    }
    noised = core().privatize_update(OrderedDict(arrays))
    assert isinstance(noised, OrderedDict) and list(noised) == list(arrays)
    for name, array in arrays.items():
        assert noised[name].shape == array.shape and noised[name].dtype == array.dtype.newbyteorder("<"), name
        assert noised[name].flags.writeable
    as_list = core().privatize_update(list(arrays.values()))
    assert isinstance(as_list, list) and [each.shape for each in as_list] == [each.shape for each in arrays.values()]


def test_the_position_of_every_element_is_kept() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    noised = core(sigma=1e-4, threshold=1e3).privatize_update({"t": array.T, "a": array})
    assert np.abs(noised["a"] - array).max() < 0.01 and np.abs(noised["t"] - array.T).max() < 0.01


def test_noise_is_new_every_time() -> None:
    privacy, update = core(), np.zeros(100, np.float32)
    assert not np.array_equal(privacy.privatize_update(update), privacy.privatize_update(update))
    assert not any("seed" in name for name in dir(privacy)), "nobody can repeat it"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_by_name(bad: float) -> None:
    with pytest.raises(NotPrivate, match="layer") as refusal:
        core().privatize_update({"good": np.zeros(3), "layer": np.array([0.0, bad])})
    assert refusal.value.code == "VALUE_NOT_FINITE"


def test_what_are_not_floats_is_refused_by_name() -> None:
    for array in (np.zeros(3, np.int64), np.zeros(3, bool)):
        with pytest.raises(NotPrivate, match="steps") as refusal:
            core().privatize_update({"steps": array})
        assert refusal.value.code == "TENSOR_NOT_NOISED"
    with pytest.raises(AnswerInvalid):
        core().privatize_update({"words": np.array(["a"])})


@pytest.mark.parametrize(("sigma", "threshold"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1), (1, float("inf")), (True, 1), ("1", 1), (None, 1)])
def test_parameters_that_give_no_privacy_are_refused(sigma: object, threshold: object) -> None:
    with pytest.raises(NotPrivate) as refusal:
        FlClientCore("data", dp_sigma=sigma, dp_threshold=threshold)  # type: ignore[arg-type]
    assert refusal.value.code == "ARGUMENT"


def test_a_budget_chooses_the_noise_of_the_analytic_gaussian() -> None:
    # Balle & Wang 2018: σ = 3.730632 at ε = 1, δ = 1e-5 for sensitivity 1; two clipped updates are 2 · threshold apart.
    calibrated = FlClientCore("data", dp_epsilon=1.0, dp_delta=1e-5, dp_threshold=0.5)
    assert abs(calibrated.dp_sigma - 3.730632) < 1e-5
    assert abs(calibrated.privatize_update(np.zeros(10_000)).std() / 3.73 - 1) < 0.1


@pytest.mark.parametrize(
    "budget", [{"dp_epsilon": 1.0}, {"dp_epsilon": 0.0, "dp_delta": 1e-5}, {"dp_epsilon": 1.0, "dp_delta": 1.0}, {"dp_epsilon": 1.0, "dp_delta": 1e-5, "dp_sigma": 1.0}]
)
def test_budgets_that_say_nothing_or_too_much_are_refused(budget: dict[str, float]) -> None:
    with pytest.raises(NotPrivate):
        FlClientCore("data", dp_threshold=1.0, **budget)


def test_zeros_and_nothing_are_legal() -> None:
    assert core().privatize_update({}) == {}
    assert core().privatize_update(np.zeros(5)).shape == (5,)


def test_the_package_offers_them() -> None:
    assert {"FlClientCore", "NotPrivate", "local_dp_mod"} <= set(aegis_fl.__all__)
