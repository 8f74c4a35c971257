"""A time-stamping authority (RFC 3161) by the openssl command, for tests; it serves one folder and no network."""

import shutil
import subprocess

_OPENSSL = shutil.which("openssl") or "openssl"
_SETTINGS = """
[tsa]
default_tsa = here
[here]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,{purpose}
"""


class Authority:
    """A root, and a certificate below it that signs stamps."""

    def __init__(self, folder, name, *, purpose="timeStamping"):
        self._folder = folder
        (folder / "settings").write_text(_SETTINGS.format(purpose=purpose))
        (folder / "serial").write_text("01\n")
        key = "-newkey rsa:2048 -nodes -config settings -keyout"
        self._openssl(f"req -x509 {key} root.key -out root.pem -days 30 -extensions root", "-subj", f"/CN=Root of {name}")
        self._openssl(f"req {key} leaf.key -out leaf.csr", "-subj", f"/CN=Stamps of {name}")
        signing = "-CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile settings -extensions leaf"
        self._openssl(f"x509 -req -in leaf.csr -out leaf.pem {signing}")

    @property
    def roots(self):
        """What who trusts it has in a PEM file."""
        return (self._folder / "root.pem").read_bytes()

    def answer(self, request):
        """Its answer to a request; a request that makes no sense is not granted."""
        (self._folder / "request").write_bytes(request)
        self._openssl("ts -reply -config settings -queryfile request -inkey leaf.key -signer leaf.pem -out answer")
        return (self._folder / "answer").read_bytes()

    def _openssl(self, arguments, *more):
        subprocess.run([_OPENSSL, *arguments.split(), *more], cwd=self._folder, check=True, capture_output=True)
