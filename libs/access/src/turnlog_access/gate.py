"""The gate: every request shows a credential that may do what it asks, or ends here.

Stands between the edge (which gives errors their form) and an app. Enters: an ASGI request. Leaves: the same, with its
principal; or 401 without a good credential, 403 without the scope, 404 and 405 for what is no route, 503 when nobody
can tell. A live stream ends when its credential does.
"""

from hashlib import sha256

from turnlog_access.errors import AccessError, Refused, Unknown
from turnlog_access.metrics import REFUSED
from turnlog_access.resource import WELL_KNOWN, Resource
from turnlog_access.route_scopes import LASTING, OPEN, scope_of
from turnlog_access.shown import Malformed, Missing, check_url, credential_in
from turnlog_access.verifier import Verifier
from turnlog_runtime.asgi import JSON, App, ClientGone, Message, Receive, Scope, Send, respond
from turnlog_runtime.principal import NOBODY, Principal, identify
from turnlog_runtime.problems import Problem

_NO_STORE = {"cache-control": "no-store"}


class AccessGate:
    """Lets in whom `verifier` knows, to what the table of routes allows."""

    def __init__(self, app: App, verifier: Verifier, resource: Resource) -> None:
        self._app, self._verifier, self._resource = app, verifier, resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `Problem`; stands below the edge. Nothing but HTTP gets by."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path in OPEN:
            identify(scope, NOBODY)
            await self._app(scope, receive, send)
            return
        if path.startswith(WELL_KNOWN):
            await self._tell(scope, path, send)
            return
        credential = self._shown(scope)
        digest = sha256(credential).digest()
        principal = self._verifier.known(digest) or await self._principal(scope, credential, digest)
        needed = scope_of(scope["method"], path)
        if needed and not principal.may(needed):
            raise self._scope_missing(scope, needed)
        identify(scope, principal)
        if path.endswith(LASTING):
            send = self._while_good(credential, digest, send)
        await self._app(scope, receive, send)

    def _while_good(self, credential: bytes, digest: bytes, send: Send) -> Send:
        """`send` for an answer that lasts: it ends before the first part that the credential may not see any more."""

        async def send_while_good(message: Message) -> None:
            if message.get("more_body") and self._verifier.known(digest) is None:
                try:
                    await self._verifier.find(credential, digest)
                except AccessError:
                    REFUSED.labels("stream_ended").inc()
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    raise ClientGone from None
            await send(message)

        return send_while_good

    def _shown(self, scope: Scope) -> bytes:
        try:
            check_url(scope)
            return credential_in(scope)
        except Missing:
            missing = Problem(401, "credential_missing", "send Authorization: Bearer with an API key", "Authorization")
            raise self._challenged(scope, missing) from None
        except Malformed as error:
            malformed = Problem(401, "credential_malformed", str(error), "Authorization")
            raise self._challenged(scope, malformed, "invalid_request", str(error)) from None

    async def _principal(self, scope: Scope, credential: bytes, digest: bytes) -> Principal:
        try:
            return await self._verifier.find(credential, digest)
        except Refused as error:
            refused = Problem(401, "credential_refused", f"not accepted: {error}", "Authorization")
            raise self._challenged(scope, refused, "invalid_token", refused.message) from None
        except Unknown as error:
            REFUSED.labels("credential_unchecked").inc()
            raise Problem(503, "credential_unchecked", f"try again: {error}", retry_after_s=1) from None

    def _scope_missing(self, scope: Scope, needed: str) -> Problem:
        message = f"this call needs the scope {needed}; use a credential that has it"
        return self._challenged(scope, Problem(403, "scope_missing", message), "insufficient_scope", needed=needed)

    def _challenged(
        self, scope: Scope, refusal: Problem, error: str = "", description: str = "", needed: str = ""
    ) -> Problem:
        """The refusal, counted, with what a caller must show instead."""
        REFUSED.labels(refusal.code).inc()
        refusal.headers["www-authenticate"] = self._resource.challenge(scope, error, description, needed)
        if refusal.status == 401:
            refusal.headers.update(_NO_STORE)
        return refusal

    async def _tell(self, scope: Scope, path: str, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem(405, "method_not_allowed", "this route takes GET", headers={"allow": "GET"})
        body = self._resource.metadata(scope, path)
        if body is None:
            raise Problem(404, "route_not_found", "there is no protected resource of this name")
        await respond(send, 200, body, (JSON, (b"access-control-allow-origin", b"*")))
