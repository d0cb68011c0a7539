"""Writes the known answers of secure aggregation, with Python's `cryptography` and integers alone: no code of ours.

    python tests/vectors/secagg/make_vectors.py      # rewrites the .json files beside it

The formats are those of docs/secure-aggregation.md. Every value below comes from a counter, so that running this again gives
the same files; P-256 signatures are the exception, their nonce is random, and an existing file of signatures is kept.
"""

import hashlib
import json
import math
import struct
from fractions import Fraction
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = Path(__file__).parent
PRIME = 2**61 - 1


def seed(label: str) -> bytes:
    return hashlib.sha256(f"aegis vectors {label}".encode()).digest()


def write(name: str, about: str, cases: list[dict]) -> None:
    text = json.dumps({"about": about, "cases": cases}, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def stream(key: bytes, first_block: int, length: int) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(first_block.to_bytes(16, "big"))).encryptor()
    return encryptor.update(bytes(length))


def fields(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def derive(transcript: bytes, secret: bytes, *info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, transcript, fields(*info)).derive(secret)


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def keystream() -> None:
    cases = []
    for first, length in [(0, 48), (1, 20), (2**32 - 1, 40), (2**40, 16)]:
        key = seed(f"keystream {first}")
        cases.append({"seed": key.hex(), "first_block": first, "length": length,
                      "stream": stream(key, first, length).hex()})
    write("keystream", "AES-256-CTR from a 16-byte block on; the counter block is the block number, big-endian.", cases)


def mask() -> None:
    cases = []
    for bits, length in [(1, 9), (16, 20), (23, 33), (32, 17), (33, 10), (62, 12)]:
        width = 4 if bits <= 32 else 8
        add, subtract = seed(f"add {bits}"), seed(f"subtract {bits}")
        half = 1 << (bits - 1)
        values = [(i * 7919) % (2 * half) - half for i in range(length)]
        packed = 0
        for i, value in enumerate(values):
            plus = int.from_bytes(stream(add, 0, length * width)[i * width:][:width], "little")
            minus = int.from_bytes(stream(subtract, 0, length * width)[i * width:][:width], "little")
            packed |= ((value + plus - minus) % (1 << bits)) << (i * bits)
        size = (length * bits + 7) // 8
        cases.append({"bits": bits, "length": length, "values": values, "add_seed": add.hex(),
                      "subtract_seed": subtract.hex(), "packed": packed.to_bytes(size, "little").hex()})
    write("mask", "values + mask - mask modulo 2^bits, packed lowest bit first. A mask is the keystream in little-endian "
          "words of 4 bytes up to 32 bits and 8 above.", cases)


def evaluate(coefficients: list[int], x: int) -> int:
    return sum(c * pow(x, power, PRIME) for power, c in enumerate(coefficients)) % PRIME


def shamir() -> None:
    cases = []
    for name, threshold, points in [("one of one", 1, [1]), ("three of five", 3, [1, 2, 3, 4, 5]),
                                    ("sparse", 4, [2, 9, 65535, 100, 1000, 65536])]:
        secret, source = seed(f"secret {name}"), seed(f"coefficients {name}")
        words = iter(int.from_bytes(stream(source, 0, 65536)[i:i + 8], "little") & PRIME for i in range(0, 65536, 8))
        draw = lambda: next(word for word in words if word < PRIME)
        number = int.from_bytes(secret, "little")
        limbs = [[number >> (52 * limb) & (2**52 - 1)] for limb in range(5)]
        check = hashlib.sha256(b"aegis secagg share check v1" + secret).digest()
        limbs.append([int.from_bytes(check[:8], "little") & (2**52 - 1)])
        for _ in range(threshold - 1):  # highest power first, for each power the six limbs in order
            drawn = [draw() for _ in range(6)]
            for limb in range(6):
                limbs[limb].insert(1, drawn[limb])
        shares = [b"".join(u64(evaluate(limb, x)) for limb in limbs).hex() for x in points]
        cases.append({"name": name, "secret": secret.hex(), "threshold": threshold, "points": points,
                      "coefficients_seed": source.hex(), "shares": shares})
    write("shamir", "Five limbs of 52 bits, little-endian, and one of the secret's hash, each shared modulo 2^61 - 1. Coefficients are the words of the "
          "seed's keystream, cut to 61 bits, the prime itself left out: highest power first, six limbs each.", cases)


def keys() -> None:
    cases = []
    for number in range(3):
        own, peer = seed(f"own {number}"), seed(f"peer {number}")
        private = x25519.X25519PrivateKey.from_private_bytes(own)
        public = x25519.X25519PrivateKey.from_private_bytes(peer).public_key()
        shared, transcript = private.exchange(public), seed(f"transcript {number}")
        info = [["share"], ["pair mask", "x"], []][number]
        cases.append({"secret": own.hex(), "public": private.public_key().public_bytes_raw().hex(),
                      "peer_public": public.public_bytes_raw().hex(), "shared": shared.hex(),
                      "transcript": transcript.hex(), "info": info,
                      "derived": derive(transcript, shared, *[field.encode() for field in info]).hex()})
    write("keys", "X25519, then HKDF-SHA256 with the transcript as salt and the info fields joined by their lengths "
          "(u32, little-endian).", cases)


def sealing() -> None:
    cases = []
    for number, (sender, receiver) in enumerate([(1, 2), (2**63 + 5, 2**64 - 1)]):
        transcript, key, nonce = seed(f"round {number}"), seed(f"seal {number}"), seed(f"nonce {number}")[:12]
        shares = [b"".join(u64(int.from_bytes(seed(f"{kind} {number} {limb}")[:7], "little")) for limb in range(6))
                  for kind in ("seed share", "key share")]
        aad = transcript + u64(sender) + u64(receiver)
        sealed = nonce + AESGCM(key).encrypt(nonce, b"".join(shares), aad)
        cases.append({"transcript": transcript.hex(), "from": str(sender), "to": str(receiver), "key": key.hex(),
                      "nonce": nonce.hex(), "seed_share": shares[0].hex(), "key_share": shares[1].hex(),
                      "sealed": sealed.hex()})
    write("sealing", "AES-256-GCM: nonce, then both shares sealed with transcript, sender and receiver as associated data.",
          cases)


def signatures() -> None:
    if (HERE / "signatures.json").exists():
        return
    cases = []
    for name in ("ed25519", "p256"):
        message = seed(f"message {name}")
        if name == "ed25519":
            private = ed25519.Ed25519PrivateKey.from_private_bytes(seed("signer"))
            signature = private.sign(message)
        else:
            private = ec.derive_private_key(int.from_bytes(seed("signer"), "big") >> 1, ec.SECP256R1())
            signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        public, spki = private.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
        pkcs8 = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())
        cases.append({"name": name, "private_pkcs8": pkcs8.hex(),
                      "public_pem": public.public_bytes(serialization.Encoding.PEM, spki).decode(),
                      "public_der": public.public_bytes(serialization.Encoding.DER, spki).hex(),
                      "message": message.hex(), "signature": signature.hex()})
    write("signatures", "Throw-away keys. Ed25519 (RFC 8032) and ECDSA P-256 with SHA-256, DER.", cases)


def log2(value: Fraction) -> float | None:
    if value == 0:
        return None
    shift = max(value.denominator.bit_length() - value.numerator.bit_length() + 64, 0)
    return math.log2((value.numerator << shift) // value.denominator) - shift


def tails() -> None:
    cases = []
    for things, marked, drawn, bound in [(10, 3, 4, 2), (999, 100, 280, 81), (999, 799, 280, 190), (9999, 1000, 200, 120),
                                         (39, 8, 8, 4), (20, 20, 5, 5), (20, 20, 5, 6), (50, 0, 7, 0), (50, 0, 7, 1)]:
        terms = [Fraction(math.comb(marked, x) * math.comb(things - marked, drawn - x), math.comb(things, drawn))
                 for x in range(drawn + 1)]
        cases.append({"things": things, "marked": marked, "drawn": drawn, "bound": bound,
                      "log2_at_least": log2(sum(terms[bound:], Fraction())),
                      "log2_below": log2(sum(terms[:bound], Fraction()))})
    write("tails", "Hypergeometric tails by exact rationals; null is a probability of zero.", cases)


def share(secret: bytes, threshold: int, points: list[int], source: bytes) -> list[bytes]:
    """Shamir's shares as `shamir` above makes them."""
    words = iter(int.from_bytes(stream(source, 0, 8192)[i:i + 8], "little") & PRIME for i in range(0, 8192, 8))
    number = int.from_bytes(secret, "little")
    check = hashlib.sha256(b"aegis secagg share check v1" + secret).digest()
    constants = [number >> (52 * limb) & (2**52 - 1) for limb in range(5)]
    constants.append(int.from_bytes(check[:8], "little") & (2**52 - 1))
    polynomials = [[constant] for constant in constants]
    for _ in range(threshold - 1):
        for polynomial in polynomials:
            polynomial.insert(1, next(word for word in words if word < PRIME))
    return [b"".join(u64(evaluate(polynomial, x)) for polynomial in polynomials) for x in points]


def a_round() -> None:
    """A whole round of five nodes, of which the last drops out after sharing: everything the two servers see of it."""
    nodes, gone, threshold, bits, length = [3, 7, 2**40, 2**63 + 1, 2**64 - 2], 2**63 + 1, 3, 23, 20
    survivors = [node for node in nodes if node != gone]
    plan, model = seed("plan"), seed("model")
    field = lambda part: u64(len(part)) + part
    u32 = lambda value: value.to_bytes(4, "little")
    terms = hashlib.sha256(field(b"aegis secagg terms v1") + u64(5) + u64(9) + plan + u32(4) + u32(threshold) + u32(4)
                           + u32(bits) + u64(length)).digest()
    mask_keys = {node: x25519.X25519PrivateKey.from_private_bytes(seed(f"mask key {node}")) for node in nodes}
    public = {node: key.public_key().public_bytes_raw() for node, key in mask_keys.items()}
    adverts, roster = [], field(b"aegis secagg roster v1") + terms
    for node in nodes:
        channel = x25519.X25519PrivateKey.from_private_bytes(seed(f"channel {node}")).public_key().public_bytes_raw()
        signer = ed25519.Ed25519PrivateKey.from_private_bytes(seed(f"signer {node}"))
        message = fields(b"aegis secagg advert v1", terms, u64(node), channel, public[node], u64(2000))
        pem = signer.public_key().public_bytes(serialization.Encoding.PEM,
                                               serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        adverts.append({"advert": {"node": str(node), "channelKey": channel.hex(), "maskKey": public[node].hex(),
                                   "expires": "2000", "signature": signer.sign(message).hex()},
                        "subject": f"CN=node {node}", "signingKey": pem})
        roster += u64(node) + channel + public[node]
    transcript = hashlib.sha256(roster).digest()

    def words(key: bytes) -> list[int]:
        return [int.from_bytes(stream(key, 0, 4 * length)[4 * i:][:4], "little") for i in range(length)]

    def own_mask(node: int) -> list[int]:
        return words(derive(transcript, seed(f"self {node}"), b"self mask", model, u64(node)))

    def pair_mask(own: int, peer: int) -> list[int]:
        shared = mask_keys[own].exchange(mask_keys[peer].public_key())
        mask = words(derive(transcript, shared, b"pair mask", model, u64(min(own, peer)), u64(max(own, peer))))
        return mask if own > peer else [-word for word in mask]

    def pack(values: list[int]) -> str:
        packed = sum((value % (1 << bits)) << (i * bits) for i, value in enumerate(values))
        return packed.to_bytes((length * bits + 7) // 8, "little").hex()

    add = lambda *vectors: [sum(column) for column in zip(*vectors)]
    inputs = {node: [1] * 5 + [(node % 1000) * (i + 1) % 60001 - 30000 for i in range(15)] for node in survivors}
    masked = {node: add(inputs[node], own_mask(node), *[pair_mask(node, peer) for peer in nodes if peer != node])
              for node in survivors}
    total = add(*[own_mask(node) for node in survivors], *[pair_mask(node, gone) for node in survivors])
    points = list(range(1, len(nodes) + 1))
    seeds = {node: share(seed(f"self {node}"), threshold, points, seed(f"self shares {node}")) for node in nodes}
    keys = {node: share(seed(f"mask key {node}"), threshold, points, seed(f"key shares {node}")) for node in nodes}
    opened = [{"node": str(node),
               "seeds": [{"of": str(of), "share": seeds[of][nodes.index(node)].hex()} for of in survivors],
               "keys": [{"of": str(gone), "share": keys[gone][nodes.index(node)].hex()}]} for node in survivors]
    write("round", "A round as the two servers see it, in the JSON of the core's messages: what the secagg service gets and "
          "the total mask it must hand over, packed; what the aggregator gets and the sum that must come out.",
          [{"terms": {"run": "5", "round": "9", "plan": plan.hex(), "degree": 4, "threshold": threshold,
                      "minSurvivors": 4, "bits": bits, "length": str(length)},
            "terms_digest": terms.hex(), "transcript": transcript.hex(), "model": model.hex(), "adverts": adverts,
            "survivors": [str(node) for node in survivors], "dropped": [str(gone)], "opened": opened,
            "total_mask": pack(total), "masked": [pack(masked[node]) for node in survivors],
            "sum": add(*inputs.values())}])


def plan() -> None:
    def text(value: str | bytes) -> bytes:
        value = value.encode() if isinstance(value, str) else value
        return len(value).to_bytes(8, "little") + value

    def number(value: int, size: int = 8) -> bytes:
        return value.to_bytes(size, "little", signed=value < 0)

    def real(value: float) -> bytes:
        return struct.pack("<d", value)

    of = {
        "real": lambda value: struct.pack("<d", struct.unpack(">d", bytes.fromhex(value))[0]),
        "integer": lambda value: int(value).to_bytes(16, "little", signed=True),
        "flag": lambda value: bytes([value]),
        "text": text,
        "data": lambda value: text(bytes.fromhex(value)),
    }

    def scalar(value: dict) -> bytes:
        [(kind, content)] = value.items()
        each = of.get(kind) or of[kind[:-1]]
        content = content if kind not in of else [content]
        return text(kind) + number(len(content)) + b"".join(each(item) for item in content)

    def entries(listed: list[dict]) -> bytes:
        return number(len(listed)) + b"".join(text(item["key"]) + scalar(item["value"]) for item in listed)

    def identity(plan: dict) -> str:
        grid, layout = plan["grid"], plan["layout"]
        clips, metrics = sorted(grid.get("ownClips", {}).items()), grid.get("metrics", [])
        keys = ["dialect", "arrayRecordKey", "configRecordKey", "weightedByKey"]
        parts = [
            text("aegis masked plan v3"), number(int(plan["run"])), text(plan["kind"]), number(int(plan["round"])),
            number(plan["cohort"], 4), real(grid["clip"]), real(grid.get("normClip") or 0.0),
            real(grid.get("noiseSigma") or 0.0), number(grid["valueBits"], 4), number(grid["weightMax"]),
            number(plan["maxExamples"]), number(len(clips)), *[text(name) + real(clip) for name, clip in clips],
            number(len(metrics)), *[text(one["name"]) + real(one["low"]) + real(one["high"]) for one in metrics],
            *[text(layout[key]) for key in keys], entries(plan["config"]), text(plan["appHash"]),
            entries(sorted(plan["overrides"], key=lambda item: item["key"].encode())),
        ]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    layout = {"dialect": "message", "arrayRecordKey": "arrays", "configRecordKey": "config", "weightedByKey": "num-examples"}
    config = [{"key": "lr", "value": {"real": "3fb999999999999a"}}, {"key": "server-round", "value": {"integer": "3"}},
              {"key": "mixed", "value": {"flags": [True, False]}}, {"key": "deltas", "value": {"integers": ["-1", "0"]}},
              {"key": "names", "value": {"texts": ["a", "", "ß"]}}, {"key": "blob", "value": {"data": "00ff"}}]
    overrides = [{"key": "b", "value": {"text": "x"}}, {"key": "a", "value": {"flag": True}}]
    whole = {"run": "7", "kind": "train", "round": "129", "cohort": 5,
             "grid": {"clip": 4.0, "valueBits": 16, "weightMax": 1, "normClip": 2.0, "noiseSigma": 37.5,
                      "ownClips": {"b": 0.5, "a": 2.0}, "metrics": [{"name": "loss", "low": 0.0, "high": 10.0}]},
             "maxExamples": 10, "layout": layout, "config": config, "appHash": "ab" * 32, "overrides": overrides}
    bare = {"run": str(2**64 - 1), "kind": "evaluate", "round": "0", "cohort": 2,
            "grid": {"clip": 8.0, "valueBits": 2, "weightMax": 2**32}, "maxExamples": 2**53,
            "layout": {key: "" for key in layout}, "config": [], "appHash": "", "overrides": []}
    write("plan", "What every node of a round must have been asked alike, in the JSON of the core's faces, and its identity.",
          [{"plan": case, "digest": identity(case)} for case in (whole, bare)])


if __name__ == "__main__":
    plan()
    keystream()
    mask()
    shamir()
    keys()
    sealing()
    signatures()
    tails()
    a_round()
