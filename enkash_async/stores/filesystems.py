"""Checks that a file is on a local disk, and makes it readable only for its owner."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from pathlib import Path

from enkash_async._support.forks import reset_after_fork

__all__ = ["check_local", "filesystem_of", "identity_of", "make_file", "make_private"]

_log = logging.getLogger("enkash_async.stores")

_MOUNTS = Path("/proc/self/mountinfo")

# Several machines may share these, and their processes do not see each other's locks and shared memory.
_NETWORK = {
    *("afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs", "fuse.s3fs"),
    *("fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"),
}
# A host shares these folders with a virtual machine, and may share them with other machines too.
_DOUBTFUL = {"9p", "fuse.grpcfuse", "fuse.osxfs", "fuseblk", "virtiofs"}


def check_local(path: Path, mounts: Path = _MOUNTS) -> None:
    """Refuse a file on a network file system; log a warning for a folder that a host shares with a virtual machine.

    Raises:
        OSError: The file system is shared by several machines, between which SQLite cannot lock the file.
    """
    kind = filesystem_of(path, mounts)
    if kind in _NETWORK:
        raise OSError(f"it lies on a network file system ({kind}), where SQLite cannot lock")
    if kind in _DOUBTFUL:
        _log.warning("the store %s lies on %s: it works only while no other machine uses it", path, kind)


def filesystem_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that holds a path; an empty string if the system does not tell."""
    if not sys.platform.startswith("linux"):
        return ""
    folder = path.parent.resolve()
    best, found = -1, ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4]))
        # Of several mounts at the same point, the last one hides the others.
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), right.split()[0]
    return found


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode, which differ once a file is replaced; None if there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def make_file(path: Path) -> None:
    """Make the file, for its owner alone, if it is not there; an existing one is neither opened nor changed.

    Closing any descriptor of a file drops the locks that SQLite holds on it for this process. Another process then
    takes the file for unused and deletes the log of its writes, and what this process writes from then on is lost.

    Raises:
        OSError: It cannot be made, or what is there is no regular file.
    """
    with _maker.lock:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if not path.is_file():
                raise OSError("it is no regular file") from None


def make_private(path: Path) -> None:
    """Keep others out of a file that is known to be a store, and out of the two that SQLite makes beside it.

    Raises:
        OSError: The file belongs to another user.
    """
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):  # SQLite removes the two when nobody uses the file
            if os.name == "posix" and file.stat().st_mode & 0o077:
                file.chmod(0o600)


class _Maker:
    """Lets one thread at a time make a file: another one would open it with SQLite before it is closed here."""

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self.lock = threading.Lock()


_maker = _Maker()
