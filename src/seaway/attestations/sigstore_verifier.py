"""
Verify a Sigstore bundle against a trusted root; return the signed payload and the identity in the certificate.

Nothing is fetched: the trusted root contains all trusted keys. Only `attestations.trusted_root` imports this module,
when the first attestation arrives: sigstore takes 2.6 s and 60 MB to load.
"""

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

from cryptography.hazmat import asn1
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    Certificate,
    ExtensionNotFound,
    PrecertificateSignedCertificateTimestamps,
    SubjectKeyIdentifier,
    UnrecognizedExtension,
    load_der_x509_certificate,
)
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.trustroot.v1 import TrustedRoot as TrustedRootText

from seaway import os_errors, strict_json
from seaway.attestations.bundles import ISSUER, NotABundle, NotVerified, UnknownParty, VerifiedBundle

_FULCIO = "1.3.6.1.4.1.57264.1"


class NotARoot(Exception):
    """The document is not a trusted root."""


class TrustedKeyIds(NamedTuple):
    """The keys that a trusted root knows, by their ids."""

    logs: frozenset[bytes]
    ct_logs: frozenset[bytes]
    authorities: frozenset[bytes]


class _AnyIdentity:
    """Policy that accepts any signer; `attestations.bundles` compares the signer and can state why it refuses."""

    def verify(self, cert: Certificate) -> None:
        return


class SigstoreVerifier:
    """Verifies bundles against one trusted root; used from any thread."""

    def __init__(self, trusted_root: bytes) -> None:
        try:
            self.parties = _parties(strict_json.decode(trusted_root))
            self._verifier = Verifier(trusted_root=TrustedRoot(TrustedRootText.from_json(trusted_root)))
        except Exception as error:  # the library raises many types for an invalid file
            if os_errors.as_unavailable(error) is not None:
                raise
            raise NotARoot(_first_line(error)) from error

    def verify(self, bundle: bytes) -> VerifiedBundle:
        """Return the verified content of the bundle; `NotVerified` if verification fails."""
        parsed = _parse(bundle)
        _require_known(parsed, strict_json.decode(bundle), self.parties)
        try:
            payload_type, payload = self._verifier.verify_dsse(parsed, _AnyIdentity())
            claims = dict(claims_of(parsed.signing_certificate))
        except BaseException as error:
            raise _refusal(error, NotVerified) from error
        issued = parsed.signing_certificate.not_valid_before_utc
        return VerifiedBundle(payload_type, payload, claims, int(issued.timestamp() * 1000))


def _parse(bundle: bytes) -> Bundle:
    try:
        return Bundle.from_json(bundle)
    except BaseException as error:
        raise _refusal(error, NotABundle) from error


def _refusal(error: BaseException, kind: type[NotVerified]) -> BaseException:
    """Convert an error; an untrusted bundle must not stop the server, and a panic of Rust code is no `Exception`."""
    is_ours = isinstance(error, KeyboardInterrupt | SystemExit) or os_errors.as_unavailable(error) is not None
    return error if is_ours else kind(_first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _require_known(bundle: Bundle, text: dict[str, Any], parties: TrustedKeyIds) -> None:
    """
    Raise `UnknownParty` if the bundle names a log or authority that is not in the trusted root (it may be too old).

    Bundles of other parties are refused in any case. The ids compared here are not verified yet: a forged bundle can
    only choose which refusal it gets.
    """
    certificate = bundle.signing_certificate
    log = base64.b64decode(text["verificationMaterial"]["tlogEntries"][0]["logId"]["keyId"])
    if log not in parties.logs:
        raise UnknownParty(f"the transparency log {log.hex()[:16]}")
    if (authority := _issuer_key(certificate)) not in parties.authorities:
        raise UnknownParty(f"the certificate authority {authority.hex()[:16]}")
    for ct_log in _ct_logs(certificate):
        if ct_log not in parties.ct_logs:
            raise UnknownParty(f"the certificate transparency log {ct_log.hex()[:16]}")


def _issuer_key(certificate: Certificate) -> bytes:
    try:
        return certificate.extensions.get_extension_for_class(AuthorityKeyIdentifier).value.key_identifier or b""
    except ExtensionNotFound:
        return b""


def _ct_logs(certificate: Certificate) -> Iterator[bytes]:
    try:
        timestamps = certificate.extensions.get_extension_for_class(PrecertificateSignedCertificateTimestamps).value
    except ExtensionNotFound:
        return
    yield from (timestamp.log_id for timestamp in timestamps)


def claims_of(certificate: Certificate) -> Iterator[tuple[int, str]]:
    """Yield the Fulcio extensions from number 8 on, which are DER strings; lower numbers are their deprecated form."""
    for extension in certificate.extensions:
        arc, _, number = extension.oid.dotted_string.rpartition(".")
        if arc == _FULCIO and int(number) >= ISSUER and isinstance(extension.value, UnrecognizedExtension):
            yield int(number), asn1.decode_der(str, extension.value.value)


def _parties(root: dict[str, Any]) -> TrustedKeyIds:
    chains = [authority["certChain"]["certificates"] for authority in root["certificateAuthorities"]]
    certificates = [
        load_der_x509_certificate(base64.b64decode(entry["rawBytes"])) for chain in chains for entry in chain
    ]
    return TrustedKeyIds(
        logs=_log_ids(root["tlogs"]),
        ct_logs=_log_ids(root["ctlogs"]),
        authorities=frozenset(
            certificate.extensions.get_extension_for_class(SubjectKeyIdentifier).value.digest
            for certificate in certificates
        ),
    )


def _log_ids(logs: list[dict[str, Any]]) -> frozenset[bytes]:
    return frozenset(base64.b64decode(log["logId"]["keyId"]) for log in logs)
