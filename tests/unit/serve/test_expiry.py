"""When a certificate expires."""

from __future__ import annotations

import datetime as dt

import pytest
import trustme

from otel_celery.serve.expiry import expiry


@pytest.mark.parametrize("year", [1999, 2020, 2049, 2050, 2120])
def test_either_form_of_time(year: int) -> None:
    """The moment is told to the second, in the two forms that certificates have for it."""
    end = dt.datetime(year, 12, 31, 23, 59, 58, tzinfo=dt.timezone.utc)
    issued = trustme.CA().issue_cert("x", not_before=dt.datetime(1990, 1, 1, tzinfo=dt.timezone.utc), not_after=end)
    assert expiry(issued.cert_chain_pems[0].bytes().decode()) == end


def test_first_certificate_counts() -> None:
    """A key before it, and issuers after it, are not looked at."""
    end = dt.datetime(2031, 1, 1, tzinfo=dt.timezone.utc)
    authority = trustme.CA()
    issued = authority.issue_cert("x", not_after=end)
    assert expiry(issued.private_key_and_cert_chain_pem.bytes().decode() + authority.cert_pem.bytes().decode()) == end


@pytest.mark.parametrize("inside", ["", "AAAA", "MAAwAA==", "MAMCAQE=", "!"])
def test_what_cannot_be_told(inside: str) -> None:
    """Text that is no certificate has no expiry, and raises nothing."""
    assert expiry(f"-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n") is None
    assert expiry(inside) is None
