"""
A Sigstore in the test process: a certificate authority, a CT log and a transparency log that real verifiers accept.

`MiniSigstore().bundle(statement(...), GITHUB_CLAIMS)` does what a public instance does for a workflow. Bundles are
dictionaries, which tests can change; `encode_bundle` returns the bytes that a client sends.
"""

import hashlib
import json
import struct
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.support.packages import PackageFile

PREDICATE = "https://schemas.conda.org/attestations-publish-1.schema.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_KEY_USES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
_KEY_USES += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")

_WORKFLOW = "https://github.com/acme/demo/.github/workflows/release.yml@refs/heads/main"
GITHUB_CLAIMS: Mapping[int, str] = {
    8: "https://token.actions.githubusercontent.com",
    9: _WORKFLOW,
    11: "github-hosted",
    12: "https://github.com/acme/demo",
    13: "c0ffee" * 6 + "c0ff",
    14: "refs/heads/main",
    15: "1001",
    16: "https://github.com/acme",
    17: "2002",
    18: _WORKFLOW,
    20: "push",
    21: "https://github.com/acme/demo/actions/runs/3003/attempts/1",
    22: "public",
}
_GITLAB_WORKFLOW = "https://gitlab.com/acme/tools/demo//.gitlab-ci.yml@refs/heads/main"
GITLAB_CLAIMS: Mapping[int, str] = {
    8: "https://gitlab.com",
    9: _GITLAB_WORKFLOW,
    12: "https://gitlab.com/acme/tools/demo",
    13: "facade" * 6 + "faca",
    14: "refs/heads/main",
    15: "4004",
    16: "https://gitlab.com/acme/tools",
    17: "5005",
    18: _GITLAB_WORKFLOW,
    20: "push",
    21: "https://gitlab.com/acme/tools/demo/-/jobs/6006",
}


def statement(
    file: PackageFile, channel: str | None = "https://conda.example.com/robots", **changes: Any
) -> dict[str, Any]:
    """Return the statement that rattler signs for an uploaded file; `changes` replace members."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": file.sha256}}],
        "predicateType": PREDICATE,
        "predicate": None if channel is None else {"targetChannel": channel},
    } | changes


def encode_bundle(bundle: Mapping[str, Any]) -> bytes:
    """Return the bundle as a client sends it."""
    return json.dumps(bundle).encode()


class MiniSigstore:
    """A Sigstore instance: its keys, and the trusted root with their public keys."""

    def __init__(self) -> None:
        self._authority, self._ct, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._root = _certificate(
            self._authority, self._authority, "mini fulcio", _now() - timedelta(days=1), days=3650
        )

    @property
    def trusted_root(self) -> bytes:
        """The trusted root as TUF distributes it."""
        since = {"start": "2021-01-01T00:00:00Z"}
        authority = {
            "subject": {"organization": "test", "commonName": "mini fulcio"},
            "uri": "https://fulcio.example.com",
            "certChain": {"certificates": [{"rawBytes": _text(self._root.public_bytes(Encoding.DER))}]},
            "validFor": since,
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [_log_entry("rekor", self._log, since)],
                "certificateAuthorities": [authority],
                "ctlogs": [_log_entry("ctfe", self._ct, since)],
                "timestampAuthorities": [],
            }
        ).encode()

    def bundle(
        self,
        signed: Mapping[str, Any] | bytes,
        claims: Mapping[int, str] = GITHUB_CLAIMS,
        *,
        payload_type: str = PAYLOAD_TYPE,
        minutes_later: int = 0,
    ) -> dict[str, Any]:
        """Return a valid bundle, logged the given number of minutes after the certificate was issued."""
        payload = signed if isinstance(signed, bytes) else json.dumps(signed).encode()
        key, certificate = self._signer(claims)
        head = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode()
        signature = _sign(key, head + payload)
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _text(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._logged(payload, signature, certificate, minutes_later)],
                "timestampVerificationData": {"rfc3161Timestamps": []},
            },
            "dsseEnvelope": {
                "payload": _text(payload),
                "payloadType": payload_type,
                "signatures": [{"sig": _text(signature)}],
            },
        }

    def _signer(self, claims: Mapping[int, str]) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """Return a key and its certificate for ten minutes, with the extensions of Fulcio and a CT log timestamp."""
        key, begins = ec.generate_private_key(ec.SECP256R1()), _now() - timedelta(minutes=1)
        extensions = [
            x509.UnrecognizedExtension(ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}"), _utf8_string(value))
            for number, value in claims.items()
        ]
        without_sct = self._issue(key, claims, begins, extensions)
        sct_list = self._sct_list(without_sct, int(begins.timestamp() * 1000))
        return key, self._issue(key, claims, begins, [*extensions, x509.UnrecognizedExtension(_SCT_LIST, sct_list)])

    def _issue(
        self, key: Any, claims: Mapping[int, str], begins: datetime, extensions: list[x509.UnrecognizedExtension]
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder(serial_number=4711)
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(key.public_key())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(minutes=10))
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_issued_by(self._authority), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(claims[18])]), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._authority, hashes.SHA256())

    def _sct_list(self, certificate: x509.Certificate, at_ms: int) -> bytes:
        """Return a list of one signed certificate timestamp (RFC 6962), as the value of the extension."""
        tbs = certificate.tbs_certificate_bytes
        entry = struct.pack("!BBQH32s", 0, 0, at_ms, 1, _key_id(self._authority)) + len(tbs).to_bytes(3, "big") + tbs
        signature = _sign(self._ct, entry + b"\0\0")
        timestamp = struct.pack("!B32sQHBBH", 0, _key_id(self._ct), at_ms, 0, 4, 3, len(signature)) + signature
        inner = struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp
        return b"\x04" + _der_length(len(inner)) + inner

    def _logged(self, payload: bytes, signature: bytes, certificate: x509.Certificate, minutes: int) -> dict[str, Any]:
        """Return the transparency log entry (Rekor v1): signed timestamp, inclusion proof, checkpoint."""
        body = _canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(payload + signature).hexdigest()},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                    "signatures": [
                        {"signature": _text(signature), "verifier": _text(certificate.public_bytes(Encoding.PEM))}
                    ],
                },
            }
        )
        before = hashlib.sha256(b"\0the entry before").digest()
        root = hashlib.sha256(b"\1" + before + hashlib.sha256(b"\0" + body).digest()).digest()
        at = int((_now() + timedelta(minutes=minutes)).timestamp())
        promised = {"body": _text(body), "integratedTime": at, "logID": _key_id(self._log).hex(), "logIndex": 1}
        return {
            "logIndex": "1",
            "logId": {"keyId": _text(_key_id(self._log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {"signedEntryTimestamp": _text(_sign(self._log, _canonical(promised)))},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": _text(root),
                "treeSize": "2",
                "hashes": [_text(before)],
                "checkpoint": {"envelope": self._checkpoint(root)},
            },
            "canonicalizedBody": _text(body),
        }

    def _checkpoint(self, root: bytes) -> str:
        note = f"rekor.example.com - 1\n2\n{_text(root)}\n"
        return f"{note}\n— rekor.example.com {_text(_key_id(self._log)[:4] + _sign(self._log, note.encode()))}\n"


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _text(content: bytes) -> str:
    return b64encode(content).decode()


def _sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _log_entry(name: str, key: ec.EllipticCurvePrivateKey, since: dict[str, str]) -> dict[str, Any]:
    return {
        "baseUrl": f"https://{name}.example.com",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": _text(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
        "logId": {"keyId": _text(_key_id(key))},
    }


def _usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _KEY_USES})


def _issued_by(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _certificate(
    key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, name: str, begins: datetime, *, days: int
) -> x509.Certificate:
    """Return the certificate of an authority."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder(serial_number=1)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
        .sign(issuer, hashes.SHA256())
    )


def _utf8_string(value: str) -> bytes:
    content = value.encode()
    return b"\x0c" + _der_length(len(content)) + content


def _der_length(length: int) -> bytes:
    if length < 128:
        return bytes([length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([128 | len(digits)]) + digits
