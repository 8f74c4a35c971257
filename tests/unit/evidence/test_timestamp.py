"""Time stamps of an authority that the openssl command is, here."""

import builtins
import datetime
import shutil
import subprocess

import pytest

from insignia.errors import EvidenceError, InputError, MissingExtraError
from insignia.evidence.timestamp import stamped_at, timestamp_request
from time_stamping import Authority

CONTENT = b"a commitment"
NO_TIME, A_DAY = datetime.timedelta(0), datetime.timedelta(days=1)

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    pytest.importorskip("rfc3161_client")
    return Authority(tmp_path_factory.mktemp("authority"), "first")


@needs_openssl
class TestAnswers:
    def test_a_right_one_tells_the_time(self, authority):
        answer = authority.answer(timestamp_request(CONTENT))
        time = stamped_at(answer, CONTENT, roots=authority.roots)

        assert time.utcoffset().total_seconds() == 0
        assert time.year >= 2024

    def test_one_among_several_trusted_authorities_suffices(self, authority, tmp_path):
        other = Authority(tmp_path, "other")
        answer = authority.answer(timestamp_request(CONTENT))

        assert stamped_at(answer, CONTENT, roots=other.roots + authority.roots + authority.roots)

    def test_one_for_another_file_is_rejected(self, authority):
        answer = authority.answer(timestamp_request(b"another commitment"))
        with pytest.raises(EvidenceError, match="of other content"):
            stamped_at(answer, CONTENT, roots=authority.roots)

    def test_one_of_an_authority_that_is_not_trusted_is_rejected(self, authority, tmp_path):
        answer = authority.answer(timestamp_request(CONTENT))
        with pytest.raises(EvidenceError, match="not signed by a trusted authority"):
            stamped_at(answer, CONTENT, roots=Authority(tmp_path, "other").roots)

    def test_a_changed_time_is_rejected(self, authority):
        answer = authority.answer(timestamp_request(CONTENT))
        time = stamped_at(answer, CONTENT, roots=authority.roots)
        written, later, earlier = (f"{time + shift:%Y%m%d%H%M%SZ}".encode() for shift in (NO_TIME, A_DAY, -A_DAY))
        assert answer.count(written) == 1  # of the stamp; what else has a time is written otherwise
        with pytest.raises(EvidenceError, match="was changed"):
            stamped_at(answer.replace(written, later), CONTENT, roots=authority.roots)
        with pytest.raises(EvidenceError, match="valid at that time"):
            stamped_at(answer.replace(written, earlier), CONTENT, roots=authority.roots)

    def test_no_changed_byte_changes_the_time_unseen(self, authority):
        answer = authority.answer(timestamp_request(CONTENT))
        time = stamped_at(answer, CONTENT, roots=authority.roots)
        for place in range(0, len(answer), 7):
            changed = bytearray(answer)
            changed[place] ^= 1
            try:
                found = stamped_at(bytes(changed), CONTENT, roots=authority.roots)
            except EvidenceError:
                continue
            assert found == time  # a byte that nobody signs, such as the version of the envelope

    def test_a_refusal_is_none(self, authority):
        with pytest.raises(EvidenceError, match="refused"):
            stamped_at(authority.answer(b"\x30\x00"), CONTENT, roots=authority.roots)

    @pytest.mark.parametrize("answer", [b"", b"x", b"\x30\x03\x02\x01\x00", timestamp_request(CONTENT)])
    def test_what_is_none_is_rejected(self, authority, answer):
        with pytest.raises(EvidenceError):
            stamped_at(answer, CONTENT, roots=authority.roots)

    def test_a_signer_that_is_no_time_stamping_authority_is_rejected(self, tmp_path):
        pytest.importorskip("rfc3161_client")
        authority = Authority(tmp_path, "web", purpose="serverAuth")
        with pytest.raises(subprocess.CalledProcessError):  # openssl would not even sign with it
            authority.answer(timestamp_request(CONTENT))

    def test_roots_that_are_no_certificates_are_refused(self, authority):
        with pytest.raises(InputError, match="not PEM"):
            stamped_at(authority.answer(timestamp_request(CONTENT)), CONTENT, roots=b"TOPSECRET")

    def test_openssl_reads_the_request(self, tmp_path):
        (tmp_path / "content").write_bytes(CONTENT)
        arguments = ["openssl", "ts", "-query", "-data", "content", "-sha256", "-no_nonce", "-cert", "-out", "theirs"]
        subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True)

        assert timestamp_request(CONTENT) == (tmp_path / "theirs").read_bytes()


def test_without_the_package_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name == "rfc3161_client":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"insignia\[timestamp\]"):
        stamped_at(b"", CONTENT, roots=b"")
