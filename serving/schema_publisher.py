"""Compiles the registry into the document that workers follow, and says where it comes from."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import Clock
from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.schema.document import read_document, write_document
from evenstore.schema.model import RegistrySchema
from serving.schema_status import SchemaStatus, read_schema_status, write_schema_status
from serving.warm_start import StartRecord, write_start_record

if TYPE_CHECKING:
    from serving.registry_source import RegistrySource

__all__ = ["SchemaPublisher"]

logger = logging.getLogger("evenstore.serving")

_WRITE_TRIES = 50
_WRITE_PAUSE_S = 0.1
_NS_PER_US = 1_000


class SchemaPublisher:
    """Keeps the compiled schema on disk as the registry is.

    Args:
        project: The Feast project.
        folder: Private folder: workers run the on-demand functions that the document holds.
        clock: Tells when a schema was compiled.
        open_source: Opens the registry, in a thread; it imports Feast.

    Attributes:
        document: The compiled schema's file, replaced as a whole.
        status_path: The file that says where the schema comes from.
    """

    def __init__(
        self,
        project: str,
        folder: Path,
        clock: Clock,
        open_source: Callable[[], RegistrySource],
    ) -> None:
        self.document = folder / f"{project}.schema.json"
        self.status_path = folder / f"{project}.status.json"
        self._project = project
        self._folder = folder
        self._clock = clock
        self._open_source = open_source
        self._source: RegistrySource | None = None
        self._schema: RegistrySchema | None = None
        self._status: SchemaStatus | None = None
        self._complaint = ""
        self._is_current: Callable[[], bool] | None = None

    def adopt(self, schema: RegistrySchema, is_current: Callable[[], bool]) -> None:
        """Take the document on disk for the registry's: nothing has changed since it was written.

        Args:
            schema: Its content.
            is_current: Tells whether that still holds; the registry is not opened before it does
                not, which spares the supervisor Feast's memory.
        """
        self._schema = schema
        self._is_current = is_current
        known = read_schema_status(self.status_path)
        if known is None or known.registry_fingerprint != schema.fingerprint:
            compiled_us = self.document.stat().st_mtime_ns // _NS_PER_US
            known = SchemaStatus.of_registry(schema.fingerprint, compiled_us)
        self._tell(dataclasses.replace(known, schema_source="registry", problem=None))
        logger.info("schema %s, compiled before: nothing has changed", schema.fingerprint)

    async def publish_first(self) -> None:
        """Compile before any worker starts; fall back to what the last gateway compiled.

        Raises:
            ConfigurationError: There is no usable schema.
        """
        problem = await self._compile()
        tries = 0
        while problem is None and self._schema is None and tries < _WRITE_TRIES:
            # The registry was being written.
            await asyncio.sleep(_WRITE_PAUSE_S)
            problem = await self._compile()
            tries += 1
        if self._schema is not None:
            return
        if not self.document.is_file():
            raise _no_schema(problem) from problem
        try:
            self._schema = await asyncio.to_thread(read_document, self.document)
        except (EvenstoreError, OSError, ValueError, TypeError, LookupError) as exc:
            raise _no_schema(problem) from exc
        self._tell(self._last_good("it stays empty" if problem is None else _describe(problem)))
        logger.warning(
            "starting from the last good schema %s: %s", self._schema.fingerprint, self.document
        )

    async def follow(self, *, poll_s: float) -> None:
        """Compile anew whenever the registry changes, until cancelled."""
        while True:
            await asyncio.sleep(poll_s)
            await self._compile()

    async def _compile(self) -> BaseException | None:
        """Compile and publish the registry if it changed; return what prevented it, if anything."""
        # A registry's driver may raise anything at all, and none of it may end the supervisor:
        # the outcome is looked at instead of caught.
        compiling = asyncio.create_task(asyncio.to_thread(self._compile_and_publish))
        await asyncio.wait([compiling])
        problem = compiling.exception()
        if problem is None:
            if self._complaint:
                logger.warning("the registry can be read again")
            self._complaint = ""
            return None
        complaint = _describe(problem)
        if complaint != self._complaint:
            logger.error("the registry cannot be used, the schema stays as it is: %s", complaint)
            self._complaint = complaint
            if self._status is not None:
                self._tell(self._last_good(complaint))
        return problem

    def _compile_and_publish(self) -> None:
        if self._source is None:
            if self._is_current is not None and self._is_current():
                return
            self._source = self._open_source()
        schema = self._source.read()
        if schema is None:
            return
        known = self._schema
        if schema != known:
            write_document(schema, self.document)
            self._schema = schema
            logger.info(
                "schema %s: %d feature views, %d on-demand views, %d feature services",
                schema.fingerprint,
                len(schema.feature_views),
                len(schema.on_demand_views),
                len(schema.feature_services),
            )
        if schema != known or self._status is None or self._status.problem is not None:
            self._tell(SchemaStatus.of_registry(schema.fingerprint, self._clock.now_us()))
        self._remember(self._source.origin(schema))

    def _remember(self, origin: StartRecord | None) -> None:
        if origin is None:
            return
        try:
            write_start_record(origin, self._folder, self._project)
        except ConfigurationError as exc:
            # Only the next start takes longer for it.
            logger.warning("%s", exc.message)

    def _last_good(self, problem: str) -> SchemaStatus:
        fingerprint = "" if self._schema is None else self._schema.fingerprint
        known = self._status or read_schema_status(self.status_path)
        if known is None or known.registry_fingerprint != fingerprint:
            compiled_us = self.document.stat().st_mtime_ns // _NS_PER_US
            known = SchemaStatus.of_registry(fingerprint, compiled_us)
        return dataclasses.replace(known, schema_source="last-good", problem=problem)

    def _tell(self, status: SchemaStatus) -> None:
        self._status = status
        try:
            write_schema_status(status, self.status_path)
        except ConfigurationError as exc:
            # Only readiness knows less for it.
            logger.warning("%s", exc.message)


def _no_schema(problem: BaseException | None) -> ConfigurationError:
    reason = "it stays empty" if problem is None else _describe(problem)
    msg = f"the registry cannot be used: {reason}"
    hint = problem.hint if isinstance(problem, EvenstoreError) else None
    return ConfigurationError(msg, hint=hint or "is `registry` in feature_store.yaml right?")


def _describe(problem: BaseException) -> str:
    if isinstance(problem, EvenstoreError):
        return problem.message
    text = str(problem).strip()
    first_line = text.splitlines()[0] if text else ""
    return f"{type(problem).__name__}: {first_line}"
