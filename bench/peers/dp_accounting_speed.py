"""Milliseconds of dp-accounting for the same questions: one JSON object of lists by figure to argv[2], from the cases in argv[1]."""
import json
import sys
import time

import dp_accounting
from dp_accounting import dp_event
from dp_accounting.pld import pld_privacy_accountant
from dp_accounting.rdp import rdp_privacy_accountant


def sampled(rate, noise):
    event = dp_event.GaussianDpEvent(float(noise))
    return dp_event.PoissonSampledDpEvent(rate, event) if rate < 1 else event


def milliseconds(ask):
    began = time.process_time()
    ask()
    return (time.process_time() - began) * 1e3


def asked(kind, case):
    accountant = kind()
    accountant.compose(sampled(case["q"], case["sigma"]), case["steps"])
    return accountant.get_epsilon(case["delta"])


def incremental(case):
    accountant = rdp_privacy_accountant.RdpAccountant()
    one = sampled(case["q"], case["sigma"])
    accountant.compose(one, case["steps"])
    return 1e3 * milliseconds(lambda: accountant.compose(one).get_epsilon(case["delta"]))


def calibrated(kind, case):
    dp_accounting.calibrate_dp_mechanism(
        kind,
        lambda noise: dp_event.SelfComposedDpEvent(sampled(case["q"], noise), case["steps"]),
        case["target_eps"],
        case["delta"],
        dp_accounting.LowerEndpointAndGuess(0.3, 1.0),
    )


RDP, PLD = rdp_privacy_accountant.RdpAccountant, pld_privacy_accountant.PLDAccountant
cases = json.load(open(sys.argv[1]))
found = {
    "rdp-eps-ms": [milliseconds(lambda: asked(RDP, case)) for case in cases["epsilon"]],
    "rdp-incremental-us": [incremental(case) for case in cases["epsilon"]],
    "pld-eps-ms": [milliseconds(lambda: asked(PLD, case)) for case in cases["light"]],
    "calibrate-rdp-ms": [milliseconds(lambda: calibrated(RDP, case)) for case in cases["calibration"]],
}
json.dump(found, open(sys.argv[2], "w"))
