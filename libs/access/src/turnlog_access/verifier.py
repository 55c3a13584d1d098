"""Whom a credential stands for, whatever its kind: an API key, or an access token where an issuer is configured."""

from turnlog_access.errors import Refused
from turnlog_access.key_format import KEY_PREFIX, key_id_of
from turnlog_access.keyring import NO_LONGER, Keyring
from turnlog_access.token_door import TokenDoor
from turnlog_runtime.principal import Principal


class Verifier:
    """Keys and tokens behind one face."""

    def __init__(self, keyring: Keyring, tokens: TokenDoor | None) -> None:
        self._keyring, self._tokens = keyring, tokens

    def known(self, digest: bytes) -> Principal | None:
        """Whom the credential with this SHA-256 stands for, if that can be said without asking."""
        found = self._keyring.known(digest)
        if found is None and self._tokens is not None:
            found = self._tokens.known(digest)
        return found

    async def find(self, credential: bytes, digest: bytes) -> Principal:
        """Whom a credential (ASCII) stands for. Raises `Refused` or `Unknown`."""
        if credential.startswith(KEY_PREFIX):
            key_id = key_id_of(credential)
            if key_id is None:
                raise Refused(NO_LONGER)
            return await self._keyring.find(key_id, digest)
        if self._tokens is None:
            raise Refused("it is no API key, and no issuer of access tokens is configured")
        return await self._tokens.find(credential, digest)
