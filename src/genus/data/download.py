"""Fetching a published file: checked against its hash, and put in place whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from genus import __version__
from genus.data.places import write_atomically
from genus.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Called with (what is being done, how much is done, how much there is or None)."""

_TIMEOUT = 30.0  # seconds without a byte
_MAX_UNKNOWN = 16 * 2**20  # bytes of a file whose length is not known


@dataclass(frozen=True)
class Remote:
    """A published file.

    Args:
        file: its name.
        urls: where it is, best first.
        sha256: of the file, in hexadecimal; None where only its contents can be checked.
        bytes: its length, None where it is not known.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None
    bytes: int | None


def download(
    remote: Remote, folder: Path, progress: Progress | None = None, *, remedy: str | None = None
) -> Path:
    """Fetch a file into a folder, unless every address fails.

    The file appears under its name only when it is complete, has the right hash and is on disk.

    Args:
        remote: what to fetch.
        folder: where to put it; made if need be.
        progress: told how far it is, at least once.
        remedy: how to go on without a network; left out, what helps with a published data set.

    Raises:
        DataError: no address gave the file; the message has the reason for each and says how
            to go on without a network.
    """
    target = folder / remote.file
    remedy = remedy or (
        f"fetch it by other means and put it into {folder}, or set GENUS_DATA (--data-root) to a "
        "folder that has it"
    )
    reasons = []
    for url in remote.urls:
        try:
            write_atomically(target, partial(_copy, url, remote, progress))
        except _TransferError as error:
            reasons.append(f"{url}: {error}")
        else:
            return target
    raise DataError(
        f"cannot download {remote.file}:\n"
        + "".join(f"  - {reason}\n" for reason in reasons)
        + remedy
    )


class _TransferError(Exception):
    """One address did not give the file."""


def _copy(url: str, remote: Remote, progress: Progress | None, file: BinaryIO) -> None:
    """Write what an address serves to an open file, and check it."""
    sha = hashlib.sha256()
    done = 0
    for piece in _pieces(url):
        file.write(piece)
        sha.update(piece)
        done += len(piece)
        if done > (remote.bytes or _MAX_UNKNOWN):
            limit = remote.bytes or _MAX_UNKNOWN
            raise _TransferError(f"is longer than the {limit:,} bytes expected")
        if progress is not None:
            progress(remote.file, done, remote.bytes)
    if remote.bytes is not None and done < remote.bytes:
        raise _TransferError(f"cut off after {done:,} of {remote.bytes:,} bytes")
    if remote.sha256 is not None and sha.hexdigest() != remote.sha256:
        raise _TransferError(f"has sha256 {sha.hexdigest()}, expected {remote.sha256}")


def _pieces(url: str) -> Iterator[bytes]:
    """Yield what an address serves, turning every way to fail into one error."""
    if not url.startswith(("http://", "https://")):
        raise _TransferError("is not an http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": f"genus/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            while piece := answer.read(1 << 16):
                yield piece
    except urllib.error.HTTPError as error:
        error.close()
        raise _TransferError(f"the server answers {error.code} {error.reason}") from error
    except http.client.HTTPException as error:
        raise _TransferError(f"the transfer broke off ({type(error).__name__})") from error
    except OSError as error:
        raise _TransferError(f"cannot be reached ({getattr(error, 'reason', error)})") from error
