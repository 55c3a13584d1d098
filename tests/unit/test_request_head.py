"""The rules of heads that the parser does not keep."""

import pytest

from turnlog_runtime.problems import Problem
from turnlog_runtime.request_head import check_fields, target_of

HOST = (b"host", b"turnlog.example:8080")


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a?", b"/a", b""),
        (b"//a/b", b"//a/b", b""),
        (b"*", b"*", b""),
        (b"http://x", b"/", b""),
        (b"HTTPS://x:1/y?z", b"/y", b"z"),
        (b"http://x?y", b"/", b"y"),
    ],
)
def test_targets_are_taken_apart(url: bytes, path: bytes, query: bytes) -> None:
    assert target_of(url) == (path, query)


@pytest.mark.parametrize("url", [b"a", b"", b"a:443", b"ftp://x/", b"http:///a", b"/a#b", b"http://x#b", b"/a?b#c"])
def test_targets_that_name_no_path_are_refused(url: bytes) -> None:
    with pytest.raises(Problem) as refused:
        target_of(url)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a.b:80", b"127.0.0.1:8080", b"[::1]:8080", b"[fe80::1%25eth0]", b"xn--bcher-kva.example"]
)
def test_hosts_that_are_some(host: bytes) -> None:
    assert check_fields("1.1", [(b"host", host)], upgrade=False) is False


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a@b", b"a:b", b"[::1", b"a,b\xff", b"http://a"])
def test_hosts_that_are_none(host: bytes) -> None:
    with pytest.raises(Problem):
        check_fields("1.1", [(b"host", host)], upgrade=False)


def test_whether_a_client_waits_for_100_continue() -> None:
    expect = (b"expect", b"100-Continue")
    assert check_fields("1.1", [HOST, expect], upgrade=False) is True
    assert check_fields("1.0", [HOST, expect], upgrade=False) is False
    with pytest.raises(Problem) as refused:
        check_fields("1.1", [HOST, (b"expect", b"200-ok")], upgrade=False)
    assert refused.value.status == 417


def test_an_upgrade_is_only_for_requests_without_a_body() -> None:
    check_fields("1.1", [HOST, (b"content-length", b"0")], upgrade=True)
    for field in ((b"content-length", b"1"), (b"transfer-encoding", b"chunked")):
        check_fields("1.1", [HOST, field], upgrade=False)
        with pytest.raises(Problem):
            check_fields("1.1", [HOST, field], upgrade=True)
