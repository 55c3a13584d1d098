"""A FastAPI app whose exceptions come out of it, so that the edge gives all errors the one form.

Starlette's outermost layer answers an exception in plain text before it raises it on. The middleware here, added inside
that layer, keeps the exception; the app around it raises it once Starlette has returned.
"""

from typing import Any, Protocol

from turnlog_runtime.asgi import App, Receive, Scope, Send

_KEPT = "turnlog.kept_error"


class MiddlewareHost(Protocol):
    """What is needed of a FastAPI app."""

    def add_middleware(self, middleware_class: Any) -> None:
        """Put a middleware around the routes."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""


class _KeepError:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            scope[_KEPT].append(error)


def raising(api: MiddlewareHost) -> App:
    """`api` as an app that raises what its routes raise."""
    api.add_middleware(_KeepError)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept: list[Exception] = []
        scope[_KEPT] = kept
        await api(scope, receive, send)
        if kept:
            raise kept[0]

    return app
