"""The compiled schema on disk, as a worker follows it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.schema.document import read_document
from serving.gateway import Gateway
from serving.plans import Plans

__all__ = ["SchemaFile"]

logger = logging.getLogger("evenstore.serving")

_Signature = tuple[int, int, int]


class SchemaFile:
    """A document that the supervisor replaces atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: _Signature | None = None

    def load(self) -> Plans:
        """Read the document and prepare its requests.

        Raises:
            ConfigurationError: The file cannot be read.
            SchemaError: Its content is not what its fingerprint says.
            FormatVersionError: Another version of evenstore wrote it.
        """
        try:
            self._loaded = self._signature()
            return Plans(read_document(self._path))
        except EvenstoreError:
            raise
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as exc:
            msg = f"the compiled schema cannot be read: {self._path}"
            raise ConfigurationError(msg, hint="restart the gateway: it compiles anew") from exc

    async def follow(self, gateway: Gateway, *, poll_s: float) -> None:
        """Give the gateway new plans whenever the document changes, until cancelled.

        Requests under way finish with the plans they began with. A document that cannot be used
        leaves the old plans in place.
        """
        while True:
            await asyncio.sleep(poll_s)
            if self._has_changed():
                await self._replace(gateway)

    async def _replace(self, gateway: Gateway) -> None:
        try:
            plans = await asyncio.to_thread(self.load)
        except EvenstoreError as exc:
            logger.warning("keeping the old schema: %s", exc.message)
            return
        gateway.plans = plans
        logger.info("serving schema %s", plans.fingerprint)

    def _has_changed(self) -> bool:
        try:
            return self._signature() != self._loaded
        except OSError:
            # Gone or not readable for a moment: what is loaded still holds.
            return False

    def _signature(self) -> _Signature:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
