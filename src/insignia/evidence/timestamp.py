"""Time stamps (RFC 3161): an authority signs when a commitment existed, without learning its content.

Requests need no library. Checking an answer needs ``rfc3161-client`` (extra ``timestamp``) and the certificates of
authorities that the judge trusts.
"""

import datetime
import hashlib

from cryptography import x509

from insignia.errors import EvidenceError, InputError, MissingExtraError

__all__ = ["stamped_at", "timestamp_request"]

# TimeStampReq of RFC 3161 in DER: version 1, the OID of SHA-256, the digest; then "include the certificate".
_REQUEST_START = bytes.fromhex("3039 020101 3031 300d 0609608648016503040201 0500 0420")
_REQUEST_END = bytes.fromhex("0101ff")

_ALGORITHMS = ("sha256", "sha384", "sha512")  # our requests use the first, "openssl ts -query" can use any
_UNTRUSTED = "certificate verify error"  # OpenSSL's reason, as the library passes it on


def timestamp_request(content: bytes) -> bytes:
    """Return the request for a time stamp of this content. The authority learns only its digest.

    Send it by HTTP as ``application/timestamp-query``. ``stamped_at`` and ``openssl ts -verify`` check the answer.
    """
    return _REQUEST_START + hashlib.sha256(content).digest() + _REQUEST_END


def stamped_at(response: bytes, content: bytes, *, roots: bytes) -> datetime.datetime:
    """Check an authority's answer and return the time of its stamp. ``roots`` are the trusted certificates, as PEM.

    Certificates must have been valid at that time, so a stamp outlives the authority's key.

    Raises:
        MissingExtraError: ``rfc3161-client`` is not installed.
        InputError: ``roots`` has no certificate.
        EvidenceError: the answer is malformed, refused, changed, of other content, or not signed by a trusted authority.
    """
    try:
        import rfc3161_client  # noqa: PLC0415  optional
    except ImportError:
        raise MissingExtraError("checking a time stamp", "timestamp") from None
    try:
        trusted = x509.load_pem_x509_certificates(roots)
    except ValueError:
        raise InputError("the trusted certificates are not PEM; expected those of a time-stamping authority") from None
    verifier = rfc3161_client.VerifierBuilder(roots=list(dict.fromkeys(trusted))).build()
    try:
        answer = rfc3161_client.decode_timestamp_response(response)
        if rfc3161_client.PKIStatus(answer.status) is not rfc3161_client.PKIStatus.GRANTED:
            raise EvidenceError("the authority refused the time stamp; ask again, or ask another authority")
        if answer.tst_info.message_imprint.message not in {hashlib.new(name, content).digest() for name in _ALGORITHMS}:
            raise EvidenceError("the time stamp is of other content; expected a stamp of this commitment file, byte for byte")
        verifier.verify_message(answer, content)
    except rfc3161_client.VerificationError as error:
        if _UNTRUSTED in str(error):
            raise EvidenceError(
                "the time stamp is not signed by a trusted authority whose certificate was valid at that time"
            ) from None
        raise EvidenceError("the time stamp was changed, or is not signed by a time-stamping authority") from None
    except ValueError:
        raise EvidenceError("not a time stamp; expected the answer (.tsr) of a time-stamping authority") from None
    time: datetime.datetime = answer.tst_info.gen_time
    return time
