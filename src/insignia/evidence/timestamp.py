"""By when a commitment existed: time stamps of RFC 3161, which an authority signs without learning what it stamps.

A request is so plain that it is written here. To check the answer takes ``rfc3161-client`` (extra ``timestamp``) and the
certificates of authorities that the judge trusts: that trust is nobody else's to give.
"""

import datetime
import hashlib

from cryptography import x509

from insignia.errors import EvidenceError, InputError, MissingExtraError

__all__ = ["stamped_at", "timestamp_request"]

# TimeStampReq of RFC 3161 in DER: version 1, SHA-256 by its OID, the digest's place; then "send the certificate too".
_REQUEST_START = bytes.fromhex("3039 020101 3031 300d 0609608648016503040201 0500 0420")
_REQUEST_END = bytes.fromhex("0101ff")

_ALGORITHMS = ("sha256", "sha384", "sha512")  # ours asks for the first, "openssl ts -query" for any
_UNTRUSTED = "certificate verify error"  # OpenSSL's reason, which the library hands on


def timestamp_request(content: bytes) -> bytes:
    """What a time-stamping authority is sent to prove that this content existed by then; it learns a digest alone.

    It goes by HTTP as ``application/timestamp-query``; ``stamped_at`` and ``openssl ts -verify`` check the answer.
    """
    return _REQUEST_START + hashlib.sha256(content).digest() + _REQUEST_END


def stamped_at(response: bytes, content: bytes, *, roots: bytes) -> datetime.datetime:
    """When an authority stamped the content, by its answer; ``roots`` are the PEM certificates that are trusted.

    Certificates count as they were at that time: a stamp outlives the authority's key.

    Raises:
        MissingExtraError: ``rfc3161-client`` is not installed.
        InputError: ``roots`` holds no certificate.
        EvidenceError: it is no answer that grants a stamp, was changed, is of other content, or nobody trusted signed it.
    """
    try:
        import rfc3161_client  # noqa: PLC0415  optional
    except ImportError:
        raise MissingExtraError("checking a time stamp", "timestamp") from None
    try:
        trusted = x509.load_pem_x509_certificates(roots)
    except ValueError:
        raise InputError("the certificates to trust are not PEM; expected those of a time-stamping authority") from None
    verifier = rfc3161_client.VerifierBuilder(roots=list(dict.fromkeys(trusted))).build()
    try:
        answer = rfc3161_client.decode_timestamp_response(response)
        if rfc3161_client.PKIStatus(answer.status) is not rfc3161_client.PKIStatus.GRANTED:
            raise EvidenceError("the authority refused to stamp; ask it again, or another")
        if answer.tst_info.message_imprint.message not in {hashlib.new(name, content).digest() for name in _ALGORITHMS}:
            raise EvidenceError("the time stamp is of other content; expected that of this commitment's file, byte for byte")
        verifier.verify_message(answer, content)
    except rfc3161_client.VerificationError as error:
        if _UNTRUSTED in str(error):
            raise EvidenceError(
                "no certificate that is trusted, and was valid at that time, leads to who signed the time stamp"
            ) from None
        raise EvidenceError("the time stamp was changed, or is not signed by a time-stamping authority") from None
    except ValueError:
        raise EvidenceError("not a time stamp; expected the answer (.tsr) of a time-stamping authority") from None
    time: datetime.datetime = answer.tst_info.gen_time
    return time
