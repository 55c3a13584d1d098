"""Access tokens: what is taken, and every way to pass off something else as one."""

import json
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import jwt
import pytest

from admitting import AUDIENCE, ISSUER, SigningKey, claims, ec_key, rsa_key, token, unsigned
from turnlog_access.errors import Refused
from turnlog_access.key_set import BadKeySet, KeySet, key_set
from turnlog_access.tokens import Holder, TokenRules, holder_of, key_id_of
from turnlog_runtime.principal import ADMIN, READ, WRITE

RULES = TokenRules(ISSUER, (AUDIENCE,), frozenset({"RS256", "ES256"}))
NOW = int(time.time())


def encoded(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def published(*keys: SigningKey) -> KeySet:
    document = json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()
    return key_set(document, RULES.algorithms)


def taken(text: str, rules: TokenRules = RULES, keys: KeySet | None = None) -> Holder:
    found = (keys or published(rsa_key(), ec_key())).find(key_id_of(text, rules))
    if found is None:
        raise Refused("no such key")
    return holder_of(text, found, rules)


@pytest.mark.parametrize("key", [rsa_key(), ec_key()], ids=["rsa", "ec"])
def test_a_good_token_names_tenant_scopes_and_holder(key: SigningKey) -> None:
    body = claims("acme", scope=f"openid {WRITE} {READ}")
    found = taken(token(key, body))
    assert (found.principal.tenant, found.principal.scopes) == ("acme", {WRITE, READ})
    assert found.principal.credential == f"{ISSUER} agent-7"
    assert found.expires_at_s == body["exp"] + RULES.leeway_s


@pytest.mark.parametrize(
    ("given", "scopes"),
    [([READ, "x"], {READ}), (None, set()), (7, set()), ("MEMORY:READ", set()), ([["memory:read"]], set())],
)
def test_scopes_are_those_known_in_text_or_list(given: Any, scopes: set[str]) -> None:
    assert taken(token(rsa_key(), claims(scope=given))).principal.scopes == scopes


def test_a_token_is_for_any_one_of_the_audiences_that_are_named() -> None:
    of_mcp = token(rsa_key(), claims(aud=f"{AUDIENCE}/mcp"))
    with pytest.raises(Refused, match="another audience"):
        taken(of_mcp)
    assert taken(of_mcp, replace(RULES, audiences=(AUDIENCE, f"{AUDIENCE}/mcp"))).principal.tenant


def test_the_scope_of_all_tenants_is_taken_only_where_it_is_set_so() -> None:
    text = token(rsa_key(), claims(scope=f"{ADMIN} {READ}"))
    assert taken(text).principal.scopes == {READ}
    assert taken(text, replace(RULES, admin=True)).principal.scopes == {ADMIN, READ}


ATTACKS: dict[str, str] = {
    "an algorithm that is a list": encoded({"alg": ["RS256"], "typ": "at+jwt"}) + ".e30.AAAA",
    "an algorithm that is an object": encoded({"alg": {}, "typ": "at+jwt"}) + ".e30.AAAA",
    "exp is a list": token(rsa_key(), claims(exp=[])),
    "iat is an object": token(rsa_key(), claims(iat={})),
    "a subject with half a surrogate pair": token(rsa_key(), claims(sub="a\ud800")),
    "a subject with a line feed": token(rsa_key(), claims(sub="a\nb")),
    "no algorithm": unsigned(claims(), kid="rsa-1"),
    "algorithm None": unsigned(claims(), alg="None", kid="rsa-1"),
    "no algorithm, a signature": unsigned(claims(), "AAAA", kid="rsa-1"),
    "signature cut off": token(rsa_key(), claims()).rpartition(".")[0] + ".",
    "an unlisted asymmetric algorithm": token(SigningKey("rsa-1", rsa_key().private, "PS256"), claims()),
    "signed with another key": token(SigningKey("rsa-1", rsa_key("other").private, "RS256"), claims()),
    "another key's kid": token(SigningKey("ec-1", rsa_key().private, "RS256"), claims()),
    "expired": token(rsa_key(), claims(exp=NOW - 60)),
    "no exp": token(rsa_key(), claims(exp=None)),
    "exp is no number": token(rsa_key(), claims(exp="tomorrow")),
    "exp is infinite": token(rsa_key(), claims(exp=float("inf"))),
    "not valid yet": token(rsa_key(), claims(nbf=NOW + 600)),
    "issued in the future": token(rsa_key(), claims(iat=NOW + 600)),
    "another issuer": token(rsa_key(), claims(iss="https://elsewhere.test")),
    "an issuer that begins alike": token(rsa_key(), claims(iss=ISSUER + "/")),
    "no issuer": token(rsa_key(), claims(iss=None)),
    "another audience": token(rsa_key(), claims(aud="https://other.test")),
    "audiences without ours": token(rsa_key(), claims(aud=["a", AUDIENCE + "/mcp"])),
    "no audience": token(rsa_key(), claims(aud=None)),
    "no subject": token(rsa_key(), claims(sub=None)),
    "a subject without an end": token(rsa_key(), claims(sub="x" * 300)),
    "typ of a plain JWT": token(rsa_key(), claims(), typ="JWT"),
    "typ of an ID token": token(rsa_key(), claims(), typ="id+jwt"),
    "an ID token by its nonce": token(rsa_key(), claims(nonce="n")),
    "an ID token by its hash": token(rsa_key(), claims(at_hash="h")),
    "no tenant": token(rsa_key(), claims(tenant=None)),
    "a tenant that is none": token(rsa_key(), claims(tenant="a/b")),
    "a list of tenants": token(rsa_key(), claims(tenant=["acme"])),
    "an address of keys (jku)": token(rsa_key(), claims(), jku="http://evil.test/keys"),
    "an address of a certificate (x5u)": token(rsa_key(), claims(), x5u="http://evil.test/cert"),
    "a key of its own (jwk)": token(rsa_key(), claims(), jwk=rsa_key("other").public_jwk()),
    "an extension that matters (crit)": token(rsa_key(), claims(), crit=["exp"]),
    "a path as kid": token(rsa_key(), claims(), kid="../../dev/null"),
    "SQL as kid": token(rsa_key(), claims(), kid="' or 1=1 --"),
    "a kid without an end": token(rsa_key(), claims(), kid="k" * 10_000),
    "a kid with a line feed": token(rsa_key(), claims(), kid="rsa-1\nx"),
    "no kid though there are two keys": token(rsa_key(), claims(), kid=None),
    "no token": "x",
    "two parts": "a.b",
    "a header that is a list": "W10.e30.AAAA",
    "a deep header": "eyJ" + "W1tb" * 1000 + ".e30.AAAA",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_only_looks_like_an_access_token_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        taken(ATTACKS[name])


def test_the_public_key_is_no_shared_secret() -> None:
    """HS256 signed with the published key, in each form in which an attacker has it."""
    import hashlib
    import hmac

    for secret in (rsa_key().public_pem(), json.dumps(rsa_key().public_jwk()).encode()):
        head = unsigned(claims(), alg="HS256", kid="rsa-1").rpartition(".")[0]
        signature = hmac.new(secret, head.encode(), hashlib.sha256).digest()
        text = f"{head}.{jwt.utils.base64url_encode(signature).decode()}"
        with pytest.raises(Refused, match="algorithm"):
            taken(text)


def test_a_plain_typ_is_taken_only_where_the_settings_say_so_and_an_id_token_nowhere() -> None:
    rules = TokenRules(ISSUER, (AUDIENCE,), RULES.algorithms, plain_typ=True)
    for typ in ("JWT", "application/at+jwt", "AT+JWT", ""):
        assert taken(token(rsa_key(), claims(), typ=typ), rules).principal.tenant == "acme"
    with pytest.raises(Refused, match="ID token"):
        taken(token(rsa_key(), claims(nonce="n"), typ="JWT"), rules)


def test_what_is_expired_by_less_than_the_leeway_is_taken() -> None:
    assert taken(token(rsa_key(), claims(exp=int(time.time()) - 2))).principal.tenant == "acme"


def test_one_key_needs_no_name() -> None:
    assert taken(token(rsa_key(None), claims()), keys=published(rsa_key(None))).principal.tenant == "acme"
    assert taken(token(rsa_key(), claims(), kid=None), keys=published(rsa_key())).principal.tenant == "acme"


def test_keys_of_another_use_kind_or_size_are_passed_over() -> None:
    good, weak = rsa_key().public_jwk(), rsa_key("weak", 1024).public_jwk()
    secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "oct", "alg": "HS256"}
    private = jwt.get_algorithm_by_name("ES256").to_jwk(ec_key("p").private, as_dict=True)  # type: ignore[call-overload]
    odd = [weak, secret, {**private, "kid": "p"}, {**good, "kid": "enc", "use": "enc"}, {"kty": "?"}, 7, {}]
    found = key_set(json.dumps({"keys": [*odd, good]}).encode(), {"RS256", "ES256", "HS256"})
    assert set(found.by_kid) == {"rsa-1"}


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[{}]}', b"[" * 9999])
def test_what_is_no_set_of_keys_is_refused(document: bytes) -> None:
    with pytest.raises(BadKeySet):
        key_set(document, RULES.algorithms)
