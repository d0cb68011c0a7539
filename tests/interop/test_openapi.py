"""The REST door against its own document: whatever the document allows is answered as it says, whatever it forbids is refused in words."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from requests.auth import AuthBase

from harness.aegis import Aegis
from harness.releases import ROOT


SIGNING = ("x-aegis-node", "x-aegis-nonce", "x-aegis-content-sha256", "x-aegis-signature")
# 410: there is no such task. The document cannot say which ids there are, nor that a part's name is the hash of its content.
REFUSED = [400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 503]
CHECKS = {
    "negative_data_rejection": {"expected-statuses": REFUSED},
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
}


class Signed(AuthBase):
    """Signs each request as docs/rest.md says, whatever is in it, unless its signature is what it leaves out."""

    def __init__(self, server: str, ca: str) -> None:
        self.server, self.ca, self.http = server, ca, requests.Session()
        self.me = self.http.post(f"{server}/api/v1/register", json={"name": "openapi"}, verify=ca).json()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if not all(name in request.headers for name in SIGNING):
            return request
        body = request.body or b""
        digest = hashlib.sha256(body if isinstance(body, bytes) else body.encode()).hexdigest()
        nonce = self.http.get(f"{self.server}/api/v1/nonce", verify=self.ca).json()["nonce"]
        text = f"aegis rest v1\n{request.method}\n{request.path_url}\n{digest}\n{nonce}"
        signature = hmac.new(self.me["secret"].encode(), text.encode(), "sha256").hexdigest()
        request.headers.update(zip(SIGNING, (self.me["nodeId"], nonce, digest, signature), strict=True))
        return request


@pytest.fixture(scope="module")
def aegis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aegis]:
    server = Aegis(tmp_path_factory.mktemp("openapi"), "--enrolment", "open")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def signed(aegis: Aegis) -> Signed:
    return Signed(f"https://{aegis.server.address}", str(aegis.server.ca))


# `make check` proves that the server's own copy is the same.
document = schemathesis.openapi.from_path(
    ROOT / "docs" / "openapi.json", config=schemathesis.Config.from_dict({"checks": CHECKS})
)
# What is read to its end never ends.
EVENTS = "/api/v1/tasks/events"
schema = document.exclude(path=EVENTS)


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
def test_answers_as_its_document_says(case: schemathesis.Case, signed: Signed) -> None:
    if re.fullmatch(r"\d{1,2}", str(case.query.get("wait", ""))):
        case.query["wait"] = "0.1"  # of what is valid nothing is longer
    case.call_and_validate(base_url=signed.server, auth=signed, verify=signed.ca, timeout=30)


def test_events_begin_as_the_document_says(signed: Signed) -> None:
    headers = dict.fromkeys(SIGNING, "to be signed")
    with requests.get(f"{signed.server}{EVENTS}", auth=signed, headers=headers, verify=signed.ca, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] in document[EVENTS]["GET"].definition.raw["responses"]["200"]["content"]
        assert next(answer.iter_lines(decode_unicode=True)).startswith("retry: ")
    assert requests.get(f"{signed.server}{EVENTS}", verify=signed.ca, timeout=30).status_code == 401
