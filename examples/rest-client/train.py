"""One node of examples/digits-numpy over plain HTTP: python train.py https://HOST:9443 ca.pem data.npz [INVITATION]   (images x, one-hot labels y)"""

import hashlib, hmac, io, json, sys, time  # noqa: E401
from functools import partial

import numpy as np
import requests

MIB = 2**20


class Node:
    def __init__(self, server, ca, invitation=None):
        self.server, self.http = server, requests.Session()
        self.http.request = partial(self.http.request, verify=ca)  # Session.verify yields to REQUESTS_CA_BUNDLE
        who = {"name": "rest-client"} | ({"invitation": invitation} if invitation else {})
        self.me = self.http.post(f"{server}/api/v1/register", json=who).json()
        if "secret" not in self.me:
            raise SystemExit(f"{self.me['code']}: {self.me['do']}")

    def call(self, method, path, body=b"", kind="application/json"):
        digest = hashlib.sha256(body).hexdigest()
        while True:
            nonce = self.http.get(f"{self.server}/api/v1/nonce").json()["nonce"]
            text = f"aegis rest v1\n{method}\n/api/v1{path}\n{digest}\n{nonce}"
            signature = hmac.new(self.me["secret"].encode(), text.encode(), "sha256").hexdigest()
            headers = {"x-aegis-node": self.me["nodeId"], "x-aegis-nonce": nonce, "x-aegis-content-sha256": digest}
            headers |= {"x-aegis-signature": signature, "content-type": kind}
            answer = self.http.request(method, f"{self.server}/api/v1{path}", data=body, headers=headers, timeout=60)
            if answer.ok:
                return answer
            problem = answer.json()
            if answer.status_code != 503 and problem["code"] != "REST_NONCE":
                raise RuntimeError(f"{problem['code']}: {problem['title']} {problem['detail']}")
            time.sleep(int(answer.headers.get("retry-after", 0)))

    def answer(self, task, arrays, metrics):
        np.savez(file := io.BytesIO(), **arrays)
        cut = [file.getvalue()[at : at + MIB] for at in range(0, file.tell() if arrays else 0, MIB)]
        parts = {hashlib.sha256(part).hexdigest(): part for part in cut}
        slices = [{"sha256": hashlib.sha256(part).hexdigest(), "length": len(part)} for part in cut]
        said = {"file": {"format": "npz", "slices": slices}} if arrays else {}
        manifest = json.dumps(said | metrics).encode()
        for missing in self.call("POST", f"/updates/{task}", manifest).json()["missing"]:
            self.call("PUT", f"/updates/{task}/parts/{missing}", parts[missing], "application/octet-stream")
        return self.call("POST", f"/updates/{task}", manifest).json()["status"]


def look(model, x):
    hidden = np.maximum(x @ model["hidden.weight"] + model["hidden.bias"], 0)
    scores = np.exp(hidden @ model["output.weight"] + model["output.bias"])
    return hidden, scores / scores.sum(axis=1, keepdims=True)


def work(model, x, y, steps, rate):
    for _ in range(steps):  # gradient descent on the cross-entropy
        hidden, guess = look(model, x)
        slope = (guess - y) / len(x)
        back = slope @ model["output.weight"].T * (hidden > 0)
        for layer, seen, error in (("output", hidden, slope), ("hidden", x, back)):
            model[f"{layer}.weight"] -= np.float32(rate) * (seen.T @ error)
            model[f"{layer}.bias"] -= np.float32(rate) * error.sum(axis=0)
    right = look(model, x)[1][y > 0]
    metrics = {"accuracy": float((right > 0.5).mean()), "loss": float(-np.log(right + 1e-9).mean())}
    return model, {"numExamples": len(x), "metrics": metrics}


if __name__ == "__main__":
    node, data = Node(*sys.argv[1:3], *sys.argv[4:5]), np.load(sys.argv[3])
    while True:  # until Ctrl-C
        if task := node.call("GET", "/tasks?wait=20").json()["task"]:
            model = dict(np.load(io.BytesIO(node.call("GET", f"/model?task={task['taskId']}").content)))
            training = task["kind"] == "train"
            model, said = work(model, data["x"], data["y"], 100 * training, task["config"].get("learning-rate", 0))
            print(task["kind"], node.answer(task["taskId"], model if training else {}, said), flush=True)
