"""Certificates for tests: an authority of their own, and what it signs."""

from __future__ import annotations

from pathlib import Path

import trustme


class Authority:
    """`file` is its certificate, by which those that it issues are verified."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.file = folder / f"{name}.pem"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *names: str, expired: bool = False) -> tuple[Path, Path]:
        """Files with a certificate for these names (or addresses) and with its key."""
        import datetime

        end = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        issued = self._ca.issue_cert(*names, not_after=end)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key
