"""Remote files: URLs, and the pyarrow file systems that read them.

`s3`, `gs` and `abfs` are pyarrow's own; any other scheme is read through fsspec where the package
for it is installed. Credentials come from the environment, as the cloud's own tools take them, or
with the data source; they are in no message.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from evenstore.errors import ConfigurationError, SourceUnavailableError
from evenstore.schema.files import RemoteStore

__all__ = [
    "describe_failure",
    "inner_path",
    "is_url",
    "open_filesystem",
    "outer_url",
    "parse_store",
]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_S3 = frozenset({"s3", "s3a", "s3n"})
_GCS = frozenset({"gs", "gcs"})
_AZURE = frozenset({"abfs", "abfss"})
_CONNECT_TIMEOUT_S = 10
_ATTEMPTS = 3


def is_url(path: str) -> bool:
    """Tell a URL, `file://` included, from a path."""
    return _URL.match(path) is not None


def parse_store(
    url: str, *, endpoint: str = "", credentials: Mapping[str, str] | None = None, where: str
) -> RemoteStore:
    """Read from a URL which store it is on.

    Args:
        url: For example `s3://bucket/prefix`.
        endpoint: Of an S3-compatible store.
        credentials: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
            `AWS_DEFAULT_REGION`.
        where: The view or data source, for messages.

    Raises:
        ConfigurationError: There are credentials in the URL or the endpoint, or an Azure URL does
            not say its account.
    """
    scheme = url.partition("://")[0].lower()
    host = url.partition("://")[2].partition("/")[0]
    account = ""
    if scheme in _AZURE:
        account = host.partition("@")[2].partition(".")[0]
        account = account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        if not account:
            msg = f"{where}: `{url}` does not say its storage account"
            hint = f"{scheme}://container@account.dfs.core.windows.net/path"
            raise ConfigurationError(msg, hint=f"{hint}, or set AZURE_STORAGE_ACCOUNT_NAME")
    elif "@" in host or "@" in urlsplit(endpoint).netloc:
        msg = f"{where}: there are credentials in the source's {scheme}:// URL"
        raise ConfigurationError(msg, hint="give them in the environment, and change them now")
    options = tuple(sorted((name, value) for name, value in (credentials or {}).items() if value))
    if scheme not in _S3:
        return RemoteStore(scheme, account)
    # pyarrow does not look for these two itself, as AWS's own tools do.
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        endpoint = endpoint or os.environ.get(name, "")
    return RemoteStore(scheme, account, endpoint, options)


def inner_path(store: RemoteStore, url: str) -> str:
    """Return what the store's file system calls a file."""
    rest = url.partition("://")[2]
    if store.scheme in _AZURE:
        container, _, path = rest.partition("/")
        return f"{container.partition('@')[0]}/{path}".rstrip("/")
    if store.scheme in _S3 | _GCS:
        return rest.rstrip("/")
    return str(_fsspec_class(store.scheme)._strip_protocol(f"{store.scheme}://{rest}"))  # noqa: SLF001 - fsspec's public hook has this name.


def outer_url(store: RemoteStore, url: str, inner: str) -> str:
    """Return the URL of a file that the store's file system listed below `url`."""
    if store.scheme in _AZURE:
        host = url.partition("://")[2].partition("/")[0]
        return f"{store.scheme}://{host}/{inner.partition('/')[2]}"
    return inner if is_url(inner) else f"{store.scheme}://{inner}"


@functools.lru_cache(maxsize=64)
def open_filesystem(store: RemoteStore) -> fs.FileSystem:
    """Open a store; one object for each store in a process.

    Raises:
        SourceUnavailableError: Nothing that is installed reads the scheme.
    """
    if store.scheme in _S3:
        return _open_s3(store)
    if store.scheme in _GCS:
        # Without credentials the default is to try for a quarter of an hour.
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=30))
    if store.scheme in _AZURE:
        key = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or None
        return fs.AzureFileSystem(store.account, account_key=key)
    try:
        opened = _fsspec_class(store.scheme)()
    except ImportError as exc:
        raise _unread_scheme(store.scheme, str(exc)) from exc
    return fs.PyFileSystem(fs.FSSpecHandler(opened))


def _open_s3(store: RemoteStore) -> fs.FileSystem:
    given = dict(store.options)
    settings: dict[str, Any] = {
        "access_key": given.get("AWS_ACCESS_KEY_ID"),
        "secret_key": given.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": given.get("AWS_SESSION_TOKEN"),
        "region": given.get("AWS_DEFAULT_REGION"),
    }
    if store.endpoint:
        scheme, _, host = store.endpoint.rpartition("://")
        settings["endpoint_override"] = host.rstrip("/")
        settings["scheme"] = scheme or "https"
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        **{name: value for name, value in settings.items() if value},
    )


def _fsspec_class(scheme: str) -> Any:
    try:
        return importlib.import_module("fsspec.registry").get_filesystem_class(scheme)
    except ImportError as exc:
        raise _unread_scheme(scheme, str(exc)) from exc
    except ValueError as exc:
        msg = f"nothing is known that reads {scheme}:// URLs"
        hint = "use a local path, s3://, gs:// or abfs://"
        raise SourceUnavailableError(msg, hint=hint) from exc


def _unread_scheme(scheme: str, why: str) -> SourceUnavailableError:
    msg = f"nothing is installed that reads {scheme}:// URLs"
    return SourceUnavailableError(msg, hint=why or f"install fsspec's package for {scheme}")


def describe_failure(exc: BaseException, store: RemoteStore | None) -> str:
    """Return the first line of a file system's error, without credentials."""
    text = getattr(exc, "strerror", None) or str(exc)
    line = next(iter(text.strip().splitlines()), type(exc).__name__)
    secrets = [value for name, value in (store.options if store else ()) if "REGION" not in name]
    secrets += [os.environ.get(name, "") for name in _SECRET_VARIABLES]
    for secret in secrets:
        if secret:
            line = line.replace(secret, "***")
    return line


_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
)
