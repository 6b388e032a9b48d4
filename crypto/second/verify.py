"""Our constructions once more, written from docs/cryptography.md and from nothing else.

Reads crypto/vectors/*.json, computes every output from its inputs by other libraries in another language, and compares.
Then each output is bent by one bit and must be refused. Ends with 1 if anything differs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import unicodedata
from pathlib import Path
from typing import Any, Callable

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from dilithium_py.ml_dsa import ML_DSA_87
from kyber_py.ml_kem import ML_KEM_1024
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
Case = dict[str, Any]


class Refused(Exception):
    """What was given is not what an honest side makes."""


def raw(case: Case, name: str) -> bytes:
    return bytes.fromhex(case[name])


def le(number: int, length: int) -> bytes:
    return number.to_bytes(length, "little")


def derive(context: str, material: bytes, length: int = 32) -> bytes:
    return blake3(material, derive_key_context=context).digest(length=length)


# --- PQ AEAD ---


def aead_keys(key: bytes) -> tuple[bytes, bytes, bytes]:
    keys = derive("endtoend 2026-11 pq aead v1 keys", key, 96)
    return keys[:32], keys[32:64], keys[64:]


def aead_tag(key: bytes, nonce: bytes, ad: bytes, c2: bytes) -> bytes:
    return blake3(le(len(ad), 8) + ad + nonce + c2, key=key).digest()


def aead_seal(key: bytes, nonce: bytes, ad: bytes, text: bytes) -> bytes:
    k1, k2, k3 = aead_keys(key)
    c1 = AESGCM(k1).encrypt(nonce[:12], text, ad)
    c2 = crypto_aead_xchacha20poly1305_ietf_encrypt(c1, ad, nonce[12:], k2)
    return c2 + aead_tag(k3, nonce, ad, c2)


def aead_open(key: bytes, nonce: bytes, ad: bytes, sealed: bytes) -> bytes:
    k1, k2, k3 = aead_keys(key)
    c2, tag = sealed[:-32], sealed[-32:]
    if not hmac.compare_digest(tag, aead_tag(k3, nonce, ad, c2)):
        raise Refused
    c1 = crypto_aead_xchacha20poly1305_ietf_decrypt(c2, ad, nonce[12:], k2)
    return AESGCM(k1).decrypt(nonce[:12], c1, ad)


# --- hybrid signature ---


class Signer:
    def __init__(self, seed: bytes) -> None:
        self.ed25519 = Ed25519PrivateKey.from_private_bytes(seed[:32])
        self.ml_dsa_public, self.ml_dsa_secret = ML_DSA_87.key_derive(seed[32:])
        self.public = self.ed25519.public_key().public_bytes_raw() + self.ml_dsa_public

    def sign(self, domain: str, message: bytes) -> bytes:
        ml_dsa = ML_DSA_87.sign(self.ml_dsa_secret, message, ctx=domain.encode(), deterministic=True)
        return self.ed25519.sign(framed(domain, message)) + ml_dsa


def framed(domain: str, message: bytes) -> bytes:
    return le(len(domain), 8) + domain.encode() + message


def verify(public: bytes, domain: str, message: bytes, signature: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], framed(domain, message))
    if not ML_DSA_87.verify(public[32:], message, signature[64:], ctx=domain.encode()):
        raise Refused


# --- key agreement ---


def x25519(secret: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


class Pair:
    """An X25519 and an ML-KEM-1024 key."""

    def __init__(self, x25519_secret: bytes, ml_kem_seed: bytes) -> None:
        self.secret = x25519_secret
        self.x25519 = X25519PrivateKey.from_private_bytes(x25519_secret).public_key().public_bytes_raw()
        self.ml_kem, self.decapsulation = ML_KEM_1024.key_derive(ml_kem_seed)
        self.public = self.x25519 + self.ml_kem


def encapsulate(public: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    shared, ciphertext = ML_KEM_1024._encaps_internal(public, randomness)
    return ciphertext, shared


# --- ristretto255 (RFC 9496) and its VOPRF (RFC 9497, mode 1) ---

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
ROOT = pow(2, (PRIME - 1) // 4, PRIME)  # of -1
D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int, int, int]
ZERO: Point = (0, 1, 1, 0)


def absolute(number: int) -> int:
    number %= PRIME
    return PRIME - number if number & 1 else number


def square_root(u: int, v: int) -> tuple[bool, int]:
    """The non-negative root of u/v, or of ROOT * u/v when that has one instead."""
    root = u * pow(v, 3, PRIME) * pow(u * pow(v, 7, PRIME), (PRIME - 5) // 8, PRIME) % PRIME
    check = v * root * root % PRIME
    if check in (-u % PRIME, -u * ROOT % PRIME):
        root = root * ROOT % PRIME
    return check in (u % PRIME, -u % PRIME), absolute(root)


def add(a: Point, b: Point) -> Point:
    p, q = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    r, s = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = q - p, s - r, s + r, q + p
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def multiply(scalar: int, point: Point) -> Point:
    result = ZERO
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def decode(data: bytes) -> Point:
    s = int.from_bytes(data, "little")
    if len(data) != 32 or s >= PRIME or s & 1 or s == 0:
        raise Refused
    u1, u2 = 1 - s * s, 1 + s * s
    v = -D * u1 * u1 - u2 * u2
    square, inverse = square_root(1, v * u2 * u2)
    x, y = absolute(2 * s * inverse * u2), u1 * inverse * inverse * u2 * v % PRIME
    if not square or x * y % PRIME & 1 or y == 0:
        raise Refused
    return x, y, 1, x * y % PRIME


def encode(point: Point) -> bytes:
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y), x * y
    _, inverse = square_root(1, u1 * u2 * u2)
    one, two = inverse * u1, inverse * u2
    z_inverse = one * two * t
    if t * z_inverse % PRIME & 1:
        x, y = y * ROOT, x * ROOT
        two = one * square_root(1, -1 - D)[1]
    if x * z_inverse % PRIME & 1:
        y = -y
    return le(absolute(two * (z - y)), 32)


def mapped(data: bytes) -> Point:
    r = ROOT * pow(int.from_bytes(data, "little") % 2**255, 2, PRIME)
    u, v = (r + 1) * (1 - D * D), (-1 - r * D) * (r + D)
    square, s = square_root(u, v)
    if not square:
        s = -absolute(s * (int.from_bytes(data, "little") % 2**255))
    n = (-1 if square else r) * (r - 1) * (D - 1) ** 2 - v
    a, b, c, d = 2 * s * v, n * -square_root(-D - 1, 1)[1], 1 - s * s, 1 + s * s
    return a * d % PRIME, c * b % PRIME, b * d % PRIME, a * c % PRIME


BASE = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
SUITE = b"OPRFV1-\x01-ristretto255-SHA512"


def prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def expanded(message: bytes, purpose: bytes) -> bytes:
    """expand_message_xmd of RFC 9380 with SHA-512, one block."""
    tag = purpose + b"-" + SUITE
    tag += bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + message + b"\x00\x40\x00" + tag).digest()
    return hashlib.sha512(first + b"\x01" + tag).digest()


def hash_to_group(message: bytes) -> Point:
    uniform = expanded(message, b"HashToGroup")
    return add(mapped(uniform[:32]), mapped(uniform[32:]))


def hash_to_scalar(message: bytes) -> int:
    return int.from_bytes(expanded(message, b"HashToScalar"), "little") % ORDER


def composite(public: bytes, blinded: bytes, element: bytes) -> int:
    seed = hashlib.sha512(prefixed(public, b"Seed-" + SUITE)).digest()
    return hash_to_scalar(prefixed(seed) + bytes(2) + prefixed(blinded, element) + b"Composite")


def evaluate(key: int, blinded: bytes, random: int) -> bytes:
    public, element = encode(multiply(key, BASE)), encode(multiply(key, decode(blinded)))
    m = multiply(composite(public, blinded, element), decode(blinded))
    parts = [m, multiply(key, m), multiply(random, BASE), multiply(random, m)]
    challenge = hash_to_scalar(prefixed(public, *map(encode, parts)) + b"Challenge")
    return element + le(challenge, 32) + le((random - challenge * key) % ORDER, 32)


def check_evaluation(public: bytes, blinded: bytes, evaluation: bytes) -> bytes:
    element, c, s = evaluation[:32], *(int.from_bytes(evaluation[at : at + 32], "little") for at in (32, 64))
    if not (0 < c < ORDER and 0 < s < ORDER):
        raise Refused
    weight = composite(public, blinded, element)
    m, z = multiply(weight, decode(blinded)), multiply(weight, decode(element))
    t2 = add(multiply(s, BASE), multiply(c, decode(public)))
    t3 = add(multiply(s, m), multiply(c, z))
    if c != hash_to_scalar(prefixed(public, *map(encode, (m, z, t2, t3))) + b"Challenge"):
        raise Refused
    return element


# --- what the files hold ---


def check_aead(file: Case) -> int:
    for case in file["cases"]:
        key, nonce, ad = raw(case, "key"), raw(case, "nonce"), raw(case, "associated_data")
        sealed = raw(case, "sealed")
        same(aead_seal(key, nonce, ad, raw(case, "plaintext")), sealed)
        same(aead_open(key, nonce, ad, sealed), raw(case, "plaintext"))
        refused(sealed, lambda bent: aead_open(key, nonce, ad, bent))
    return len(file["cases"])


def check_signature(file: Case) -> int:
    for case in file["cases"]:
        signer, message, signature = Signer(raw(case, "seed")), raw(case, "message"), raw(case, "signature")
        same(signer.public, raw(case, "verifying_key"))
        same(signer.sign(file["domain"], message), signature)
        verify(signer.public, file["domain"], message, signature)
        refused(signature, lambda bent: verify(signer.public, file["domain"], message, bent))
    return len(file["cases"])


def check_device_proof(file: Case) -> int:
    domain = "endtoend 2026-11 device proof v2"
    purposes = {"register": 1, "login": 2, "resume": 3, "refresh": 4, "add_device": 5}
    signer = Signer(raw(file, "seed"))
    for case in file["cases"]:
        statement = bytes([purposes[case["purpose"]]]) + raw(case, "token_id") + raw(file, "challenge") + raw(file, "channel_binding")
        statement += raw(file, "account") + bytes([file["device"]]) + le(case["generation"], 4)
        same(signer.sign(domain, statement), raw(case, "proof"))
        refused(raw(case, "proof"), lambda bent: verify(signer.public, domain, statement, bent))
    return len(file["cases"])


def check_access_token(file: Case) -> int:
    domain = "endtoend 2026-11 access token v1"
    signer = Signer(raw(file, "seed"))
    key_id = derive("endtoend 2026-11 access token key id v1", signer.public)[:8]
    claims = bytes([1]) + key_id + raw(file, "token_id") + raw(file, "account") + bytes([file["device"]])
    claims += le(file["issued_ms"], 8) + le(file["expires_ms"], 8)
    token = raw(file, "token")
    same(claims + signer.sign(domain, claims), token)
    refused(token, lambda bent: verify(signer.public, domain, bent[: len(claims)], bent[len(claims) :]))
    return 1


def check_passphrase(file: Case) -> int:
    for case in file["cases"]:
        argon2 = Argon2id(
            salt=raw(case, "salt"),
            length=32,
            iterations=case["passes"],
            lanes=case["lanes"],
            memory_cost=case["memory_kib"],
        )
        same(argon2.derive(case["password"].encode()), raw(case, "key"))
    return len(file["cases"])


def check_padding(file: Case) -> int:
    classes = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 61824]
    for case in file["cases"]:
        content = raw(case, "content")
        inner = raw(file, "sender") + raw(file, "recipient") + le(len(content), 4) + content
        size = next(size for size in classes if len(inner) <= size)
        same(inner.ljust(size, b"\0"), raw(case, "ratchet_plaintext"))
        outer = raw(file, "sender") + bytes([file["kind"]]) + le(len(content), 4) + content
        same(outer.ljust(-(-len(outer) // 256) * 256, b"\0"), raw(case, "envelope_plaintext"))
    return len(file["cases"])


def padme(length: int) -> int:
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    cleared = exponent - exponent.bit_length()
    mask = (1 << cleared) - 1
    return (length + mask) & ~mask


def stream_nonce(number: int, last: bool) -> bytes:
    counter = le(number, 8) + bytes([last]) + bytes(3)
    return counter + counter + bytes(12)


def stream_seal(key: bytes, context: bytes, text: bytes) -> list[bytes]:
    ad = b"endtoend 2026-11 sealed stream v1" + context
    parts = [text[at : at + 65536] for at in range(0, len(text), 65536)] or [b""]
    last = len(parts) - 1
    return [aead_seal(key, stream_nonce(at, at == last), ad, part) for at, part in enumerate(parts)]


def check_attachment(file: Case) -> int:
    key, blob = raw(file, "key"), raw(file, "blob")
    context = b"attachment v1" + blob
    for case in file["cases"]:
        text = bytes(at % 251 for at in range(case["bytes"]))
        same(blake3(text).digest(), raw(case, "hash"))
        padded = text.ljust(padme(len(text)), b"\0")
        same(le(len(padded), 8), le(case["padded_bytes"], 8))
        chunks = stream_seal(key, context, padded)
        sealed = b"".join(chunks)
        same(le(len(sealed), 8), le(case["blob_bytes"], 8))
        same(blake3(sealed).digest(), raw(case, "blob_blake3"))
        same(sealed[:64], raw(case, "blob_begin"))
        same(sealed[-64:], raw(case, "blob_end"))
        last = len(chunks) - 1
        ad = b"endtoend 2026-11 sealed stream v1" + context
        refused(chunks[last], lambda bent: aead_open(key, stream_nonce(last, True), ad, bent))
    return len(file["cases"])


def check_message_chain(file: Case) -> int:
    ends = raw(file, "chain") + raw(file, "sender") + raw(file, "recipient")
    head = derive("endtoend 2026-11 message chain v1 start", ends, 16)
    same(head, raw(file, "start"))
    for case in file["cases"]:
        same(raw(file, "chain") + le(case["number"], 8) + head, raw(case, "place"))
        linked = head + le(case["number"], 8) + raw(case, "content")
        head = derive("endtoend 2026-11 message chain v1 link", linked, 16)
        same(head, raw(case, "head"))
    return len(file["cases"])


def check_pq_envelope(file: Case) -> int:
    recipient = Pair(raw(file, "x25519"), raw(file, "ml_kem_seed"))
    start = bytes([1]) + le(file["key_id"], 4)
    address = raw(file, "recipient_account") + bytes([file["recipient_device"]])

    def keys(header: bytes, shared: bytes, agreed: bytes, ciphertext: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
        transcript = shared + agreed + recipient.ml_kem + recipient.x25519 + ciphertext + ephemeral + header
        stream = derive("endtoend 2026-11 pq envelope v1 key", transcript, 68)
        return stream[:32], stream[32:]

    for case in file["cases"]:
        header = b"endtoend 2026-11 pq envelope v1 header" + start + address + raw(case, "envelope_id")
        ephemeral = X25519PrivateKey.from_private_bytes(raw(case, "ephemeral")).public_key().public_bytes_raw()
        ciphertext, shared = encapsulate(recipient.ml_kem, raw(case, "encapsulation"))
        agreed = x25519(raw(case, "ephemeral"), recipient.x25519)
        key, nonce = keys(header, shared, agreed, ciphertext, ephemeral)
        sealed = aead_seal(key, nonce, header, raw(case, "plaintext"))
        same(start + ephemeral + ciphertext + sealed, raw(case, "envelope"))

        def opened(body: bytes) -> bytes:
            if body[:5] != start:
                raise Refused
            their, ciphertext, sealed = body[5:37], body[37:1605], body[1605:]
            shared = ML_KEM_1024.decaps(recipient.decapsulation, ciphertext)
            key, nonce = keys(header, shared, x25519(recipient.secret, their), ciphertext, their)
            return aead_open(key, nonce, header, sealed)

        same(opened(raw(case, "envelope")), raw(case, "plaintext"))
        refused(raw(case, "envelope"), opened)
    return len(file["cases"])


def check_handle(file: Case) -> int:
    for case in file["cases"]:
        handle = unicodedata.normalize("NFD", case["written"])
        for _ in range(2):
            handle = unicodedata.normalize("NFKC", handle.casefold())
        same(handle.encode(), case["handle"].encode())
    return len(file["cases"])


def check_blind_handle(file: Case) -> int:
    key, public = int.from_bytes(raw(file, "key"), "little"), raw(file, "public")
    same(encode(multiply(key, BASE)), public)
    for case in file["cases"]:
        blind, random = (int.from_bytes(raw(case, name), "little") % ORDER for name in ("blind", "proof_random"))
        handle, blinded = case["handle"].encode(), raw(case, "blinded")
        same(encode(multiply(blind, hash_to_group(handle))), blinded)
        same(evaluate(key, blinded, random), raw(case, "evaluation"))
        element = check_evaluation(public, blinded, raw(case, "evaluation"))
        unblinded = encode(multiply(pow(blind, -1, ORDER), decode(element)))
        output = hashlib.sha512(prefixed(handle, unblinded) + b"Finalize").digest()
        same(derive("endtoend 2026-11 account tag v1", output), raw(case, "tag"))
        refused(raw(case, "evaluation"), lambda bent: check_evaluation(public, blinded, bent))
    return len(file["cases"])


def check_refresh_token(file: Case) -> int:
    for case in file["cases"]:
        token = bytes([1]) + raw(case, "family") + le(case["generation"], 4) + raw(case, "secret")
        same(token, raw(case, "token"))
        hashed = blake3(b"endtoend 2026-11 refresh token hash v1" + token, key=raw(file, "key")).digest()
        same(hashed, raw(case, "hash"))
    return len(file["cases"])


def check_work(file: Case) -> int:
    for case in file["cases"]:
        start = raw(case, "challenge") + le(case["counter"], 8)
        nonce = 0
        while int.from_bytes(derive("endtoend 2026-11 proof of work v1", start + le(nonce, 8))) >> (256 - case["bits"]):
            nonce += 1
        same(le(nonce, 8), le(case["least_nonce"], 8))
    return len(file["cases"])


def check_sealed_for_one(file: Case) -> int:
    reader = Pair(raw(file["reader"], "x25519"), raw(file["reader"], "ml_kem_seed"))

    def keys(secrets: bytes, ciphertext: bytes, ephemeral: bytes, place: bytes) -> tuple[bytes, bytes]:
        transcript = secrets + reader.ml_kem + reader.x25519 + ciphertext + ephemeral + place
        stream = derive("endtoend 2026-11 sealed for one v1 key", transcript, 68)
        return stream[:32], stream[32:]

    for case in file["cases"]:
        place = b"endtoend 2026-11 sealed for one v1" + raw(case, "context")
        ephemeral = X25519PrivateKey.from_private_bytes(raw(case, "ephemeral")).public_key().public_bytes_raw()
        ciphertext, shared = encapsulate(reader.ml_kem, raw(case, "encapsulation"))
        key, nonce = keys(shared + x25519(raw(case, "ephemeral"), reader.x25519), ciphertext, ephemeral, place)
        sealed = bytes([1]) + ephemeral + ciphertext + aead_seal(key, nonce, place, raw(case, "plaintext"))
        same(sealed, raw(case, "sealed"))

        def opened(sealed: bytes) -> bytes:
            if sealed[:1] != bytes([1]):
                raise Refused
            their, ciphertext, body = sealed[1:33], sealed[33:1601], sealed[1601:]
            secrets = ML_KEM_1024.decaps(reader.decapsulation, ciphertext) + x25519(reader.secret, their)
            key, nonce = keys(secrets, ciphertext, their, place)
            return aead_open(key, nonce, place, body)

        same(opened(sealed), raw(case, "plaintext"))
        refused(sealed, opened)
    return len(file["cases"])


def check_device_link(file: Case) -> int:
    new, link_id = Pair(raw(file["new"], "x25519"), raw(file["new"], "ml_kem_seed")), raw(file, "link_id")
    offer = bytes([1]) + new.public
    same(offer, raw(file, "offer"))
    same(link_id + derive("endtoend 2026-11 device link v1 offer", offer), raw(file, "code"))
    ephemeral = X25519PrivateKey.from_private_bytes(raw(file, "ephemeral")).public_key().public_bytes_raw()
    ciphertext, shared = encapsulate(new.ml_kem, raw(file, "encapsulation"))
    same(bytes([1]) + ephemeral + ciphertext, raw(file, "answer"))

    def agreed(answer: bytes) -> tuple[bytes, bytes, int]:
        if answer[:1] != bytes([1]):
            raise Refused
        secrets = ML_KEM_1024.decaps(new.decapsulation, answer[33:]) + x25519(new.secret, answer[1:33])
        stream = derive("endtoend 2026-11 device link v1 key", secrets + link_id + offer + answer, 76)
        return stream[:32], stream[32:68], int.from_bytes(stream[68:], "little") % 1_000_000

    same(ML_KEM_1024.decaps(new.decapsulation, ciphertext), shared)
    key, nonce, digits = agreed(raw(file, "answer"))
    same(f"{digits:06}".encode(), file["digits"].encode())
    ad = b"endtoend 2026-11 device link v1 payload" + link_id
    for case in file["cases"]:
        sealed = raw(case, "sealed")
        same(aead_seal(key, nonce, ad, raw(case, "payload")), sealed)
        refused(sealed, lambda bent: aead_open(key, nonce, ad, bent))

        def opened(answer: bytes) -> bytes:
            key, nonce, _ = agreed(answer)
            return aead_open(key, nonce, ad, sealed)

        refused(raw(file, "answer"), opened)
    return len(file["cases"])


# --- Noise ---


def hkdf(chaining_key: bytes, material: bytes, count: int) -> list[bytes]:
    secret = hmac.digest(chaining_key, material, hashlib.sha512)
    outputs: list[bytes] = []
    for number in range(1, count + 1):
        before = outputs[-1] if outputs else b""
        outputs.append(hmac.digest(secret, before + bytes([number]), hashlib.sha512))
    return outputs


class Cipher:
    def __init__(self, key: bytes) -> None:
        self.key, self.counter = key[:32], 0

    def nonce(self) -> bytes:
        self.counter += 1
        return bytes(4) + (self.counter - 1).to_bytes(8, "big")

    def seal(self, ad: bytes, text: bytes) -> bytes:
        return AESGCM(self.key).encrypt(self.nonce(), text, ad)

    def rekey(self) -> None:
        self.key = AESGCM(self.key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), b"")[:32]


class Symmetric:
    def __init__(self, name: bytes, prologue: bytes) -> None:
        self.hash = name.ljust(64, b"\0") if len(name) <= 64 else hashlib.sha512(name).digest()
        self.chaining_key = self.hash
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha512(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = hkdf(self.chaining_key, material, 2)
        self.cipher = Cipher(key)

    def mix_key_and_hash(self, material: bytes) -> None:
        self.chaining_key, hashed, key = hkdf(self.chaining_key, material, 3)
        self.mix_hash(hashed)
        self.cipher = Cipher(key)

    def mix_pair(self, x25519_key: bytes, ml_kem_key: bytes) -> None:
        self.mix_hash(x25519_key)
        self.mix_hash(ml_kem_key)

    def seal(self, text: bytes) -> bytes:
        sealed = self.cipher.seal(self.hash, text)
        self.mix_hash(sealed)
        return sealed

    def split(self) -> tuple[Cipher, Cipher]:
        first, second = hkdf(self.chaining_key, b"", 2)
        return Cipher(first), Cipher(second)


def check_channel(file: Case) -> int:
    identity = Signer(raw(file, "identity_seed"))
    static = Pair(raw(file["static"], "x25519"), raw(file["static"], "ml_kem_seed"))
    same(derive("endtoend 2026-11 server identity fingerprint v1", identity.public), raw(file, "fingerprint"))

    domain = "endtoend 2026-11 channel introduction v1"
    signed = bytes([1]) + identity.public + le(file["issued_ms"], 8) + le(file["expires_ms"], 8) + static.public
    introduction = signed + identity.sign(domain, signed)
    same(introduction, raw(file, "introduction"))
    length = len(signed)
    refused(introduction, lambda bent: verify(bent[1:2625], domain, bent[:length], bent[length:]))

    prologue = b"endtoend 2026-11 secure channel v1" + introduction
    symmetric = Symmetric(b"Noise_hybridNK_25519+MLKEM1024_AESGCM_SHA512", prologue)
    symmetric.mix_pair(static.x25519, static.ml_kem)

    ephemeral = file["initiator"]["ephemeral"]
    ours = Pair(raw(ephemeral, "x25519"), raw(ephemeral, "ml_kem_seed"))
    ciphertext, shared = encapsulate(static.ml_kem, raw(file["initiator"], "encapsulation"))
    symmetric.mix_hash(ciphertext)
    symmetric.mix_key_and_hash(shared)
    symmetric.mix_pair(ours.x25519, ours.ml_kem)
    symmetric.mix_key(x25519(ours.secret, static.x25519))
    same(ciphertext + ours.public + symmetric.seal(b""), raw(file, "initiate"))
    same(ML_KEM_1024.decaps(static.decapsulation, ciphertext), shared)

    ephemeral = file["responder"]["ephemeral"]
    theirs = Pair(raw(ephemeral, "x25519"), raw(ephemeral, "ml_kem_seed"))
    ciphertext, shared = encapsulate(ours.ml_kem, raw(file["responder"], "encapsulation"))
    symmetric.mix_hash(ciphertext)
    symmetric.mix_key(shared)
    symmetric.mix_pair(theirs.x25519, theirs.ml_kem)
    symmetric.mix_key(x25519(theirs.secret, ours.x25519))
    same(ciphertext + theirs.public + symmetric.seal(b""), raw(file, "respond"))
    same(symmetric.hash[:32], raw(file, "binding"))

    from_client, from_server = symmetric.split()
    for cipher, records in ((from_client, file["from_client"]), (from_server, file["from_server"])):
        for case in records:
            same(cipher.seal(b"", raw(case, "frame") + bytes([case["rekey"]])), raw(case, "record"))
            if case["rekey"]:
                cipher.rekey()
    return 1 + len(file["from_client"]) + len(file["from_server"])


# --- the comparison ---

failures = 0


def same(ours: bytes, expected: bytes) -> None:
    global failures
    if ours != expected:
        failures += 1
        print(f"  differs: {ours[:16].hex()}… instead of {expected[:16].hex()}…", file=sys.stderr)


def refused(honest: bytes, take: Callable[[bytes], object]) -> None:
    """One bit in each quarter is bent, so that a check that checks nothing is found."""
    global failures
    for quarter in range(4):
        bent = bytearray(honest)
        bent[len(honest) * quarter // 4] ^= 1
        try:
            take(bytes(bent))
        except (Refused, InvalidSignature, InvalidTag, CryptoError, ValueError):
            continue
        failures += 1
        print(f"  a bent byte in quarter {quarter} was not noticed", file=sys.stderr)


CHECKS: dict[str, Callable[[Case], int]] = {
    "access_token": check_access_token,
    "aead": check_aead,
    "attachment": check_attachment,
    "blind_handle": check_blind_handle,
    "channel": check_channel,
    "device_link": check_device_link,
    "device_proof": check_device_proof,
    "handle": check_handle,
    "message_chain": check_message_chain,
    "padding": check_padding,
    "passphrase": check_passphrase,
    "pq_envelope": check_pq_envelope,
    "refresh_token": check_refresh_token,
    "sealed_for_one": check_sealed_for_one,
    "signature": check_signature,
    "work": check_work,
}


def main() -> int:
    # Published vectors of the primitives are not ours to compute again.
    files = {path.stem for path in VECTORS.glob("*.json")} - {"primitives"}
    if files != CHECKS.keys():
        print(f"vectors and checks do not match: {sorted(files ^ CHECKS.keys())}", file=sys.stderr)
        return 1
    for name, check in CHECKS.items():
        before = failures
        count = check(json.loads((VECTORS / f"{name}.json").read_text()))
        print(f"{name:14} {count:3} cases {'agree' if failures == before else 'DIFFER'}")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
