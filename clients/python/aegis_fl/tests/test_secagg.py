"""The bridge of secure aggregation into Python: messages, vectors, refusals, and the round that no code of ours has played."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import aegis_native
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

VECTORS = Path(__file__).parents[4] / "tests" / "vectors" / "secagg"
NOW = 1000
MODEL = "ab" * 32
NODES = [1, 2, 2**63 + 1]
FLOORS = json.dumps({"cohort": 3, "survivors": 2, "colluders": 0.0})


def grid() -> aegis_native.SecaggGrid:
    metrics = [{"name": "loss", "low": 0.0, "high": 10.0}]
    options = {"clip": 4.0, "metrics": metrics, "valueBits": 20, "weightMax": 10}
    return aegis_native.SecaggGrid([("w", "<f4", [2])], json.dumps(options))


def terms() -> str:
    values = grid()
    bits = json.loads(values.modulus(3, 0))["bits"]
    return json.dumps({"run": "7", "round": "3", "plan": "01" * 32, "degree": 2, "threshold": 2, "minSurvivors": 2,
                       "bits": bits, "length": str(values.length)})


class Cohort:
    """Three nodes that have shared their keys."""

    def __init__(self) -> None:
        self.digest = aegis_native.secagg_terms_digest(terms())
        self.keys = {}
        for node in NODES:
            private = ed25519.Ed25519PrivateKey.generate()
            der = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption())
            self.keys[node] = aegis_native.SigningKey(der)
        self.clients = {node: aegis_native.SecaggClient.advertise(node, terms(), FLOORS, key, 2 * NOW)
                        for node, key in self.keys.items()}
        self.adverts = [{"advert": json.loads(client.advert), "subject": f"CN={node}",
                         "signingKey": self.keys[node].public_pem} for node, client in self.clients.items()]
        request = json.dumps({"terms": self.digest, "adverts": self.adverts})
        self.answers = {node: json.loads(client.share_keys(request, NOW)) for node, client in self.clients.items()}

    def delivery(self, to: int) -> dict:
        shares = [{"peer": str(node), "sealed": share["sealed"]} for node, answer in self.answers.items()
                  for share in answer["shares"] if share["peer"] == str(to)]
        return {"terms": self.digest, "model": MODEL, "shares": shares}


def refusal(call) -> str:
    with pytest.raises(aegis_native.CoreError) as caught:
        call()
    code, _, facts = caught.value.args
    return facts["reason"] if code == "SECAGG_REFUSED" else code


def test_a_round_opens_the_weighted_mean_of_those_who_delivered() -> None:
    cohort, values = Cohort(), grid()
    total = aegis_native.MaskedSum(terms())
    survivors = NODES[:2]
    for weight, node in enumerate(survivors, 1):
        # far beyond the clip: what counts is the difference from the start
        update, start = [struct.pack("<2f", 100.0 + weight, 99.0)], [struct.pack("<2f", 100.0, 100.0)]
        delivery = json.dumps(cohort.delivery(node))
        total.add(cohort.clients[node].mask_input(delivery, values, update, [weight], weight, start))
    listed = [str(node) for node in survivors]
    confirmations = [
        json.loads(cohort.clients[node].confirm_survivors(
            json.dumps({"terms": cohort.digest, "survivors": listed}), cohort.keys[node]))
        for node in survivors]
    removal = aegis_native.MaskRemoval(terms(), json.dumps(cohort.adverts), NOW, MODEL, survivors, NODES[2:])
    request = {"terms": cohort.digest, "survivors": listed, "dropped": [str(NODES[2])], "confirmations": confirmations}
    for node in survivors:
        assert not removal.is_possible
        removal.take(cohort.clients[node].unmask(json.dumps(request)))
    assert removal.is_possible
    count, weight, metrics, tensors = total.open(values, 2, removal.total_mask())
    assert (count, weight) == (2, 3)
    assert metrics == pytest.approx([5 / 3], abs=1e-3)
    assert struct.unpack("<2f", tensors[0]) == pytest.approx((5 / 3, -1.0), abs=1e-3)
    assert refusal(lambda: total.add(b"")) == "ARGUMENT"


def test_a_node_refuses_by_name_and_comes_back_from_its_journal() -> None:
    cohort, values = Cohort(), grid()
    client, update = cohort.clients[1], [struct.pack("<2f", 0.0, 0.0)]
    restored = aegis_native.SecaggClient.restore(client.save())
    assert (restored.stage, restored.ended) == (1, None)
    assert refusal(lambda: aegis_native.SecaggClient.restore(client.save()[1:])) == "STATE_LOST"
    delivery = cohort.delivery(1)
    other = {**delivery, "terms": "00" * 32}
    assert refusal(lambda: client.mask_input(json.dumps(other), values, update, [0.0], 1)) == "OTHER_ROUND"
    twice = {**delivery, "shares": delivery["shares"] * 2}
    assert refusal(lambda: client.mask_input(json.dumps(twice), values, update, [0.0], 1)) == "SHARE_TWICE"
    assert (client.stage, client.ended) == (None, "SHARE_TWICE")
    assert refusal(lambda: restored.mask_input("{}", values, update, [0.0], 1)) == "SECAGG_MALFORMED"
    restored.abort()
    assert restored.ended == "ENDED"


def test_the_round_of_the_vectors_opens_to_its_sum() -> None:
    options = json.dumps({"clip": 32767.0, "valueBits": 16, "weightMax": 1})
    values = aegis_native.SecaggGrid([("w", "<f8", [15])], options)
    for case in json.loads((VECTORS / "round.json").read_text())["cases"]:
        played = json.dumps(case["terms"])
        assert aegis_native.secagg_terms_digest(played) == case["terms_digest"]
        survivors, dropped = ([int(node) for node in case[name]] for name in ("survivors", "dropped"))
        removal = aegis_native.MaskRemoval(played, json.dumps(case["adverts"]), NOW, case["model"], survivors, dropped)
        for opened in case["opened"]:
            removal.take(json.dumps(opened))
        mask = removal.total_mask()
        assert mask.hex() == case["total_mask"]
        total = aegis_native.MaskedSum(played)
        for masked in case["masked"]:
            total.add(bytes.fromhex(masked))
        _, weight, _, tensors = total.open(values, len(survivors), mask)
        sums = [round(value * weight) for value in struct.unpack("<15d", tensors[0])]
        assert sums == case["sum"][5:]


def test_a_plan_is_named_as_in_the_vectors() -> None:
    for case in json.loads((VECTORS / "plan.json").read_text())["cases"]:
        assert aegis_native.secagg_plan_digest(json.dumps(case["plan"])) == case["digest"]
        assert aegis_native.secagg_plan_digest(json.dumps({**case["plan"], "cohort": 9})) != case["digest"]
    assert refusal(lambda: aegis_native.secagg_plan_digest("{}")) == "SECAGG_MALFORMED"


def test_noise_is_counted_as_the_core_counts_it() -> None:
    options = {"clip": 1.0, "valueBits": 16, "weightMax": 1, "normClip": 0.5, "noiseSigma": 4096.0}
    noised = aegis_native.SecaggGrid([("w", "<f4", [500])], json.dumps(options))
    noise = json.loads(noised.noise(4))
    assert (noise["parties"], noise["local_sigma"], noise["dimension"]) == (4, 4096.0, 500)
    assert 0.49 < noise["noise_multiplier"] < 0.5
    assert refusal(lambda: noised.noise(0)) == "SECAGG_PARAMETERS"
