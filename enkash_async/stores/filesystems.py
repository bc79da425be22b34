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

# File systems that several machines may share. A process does not see the locks and shared memory of other machines.
_NETWORK = {
    *("afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs", "fuse.s3fs"),
    *("fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"),
}
# File systems with which a host shares a folder with a virtual machine; the host may share it with other machines too.
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
    """Return the device and the inode, which change when the file is replaced; None if there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def make_file(path: Path) -> None:
    """Make an empty file that only its owner can read. An existing file is neither opened nor changed.

    Prevents lost writes: if a process closes any descriptor of a file, it drops the locks that SQLite holds on the file
    for this process. Another process then takes the file for unused and deletes its write-ahead log. What this process
    writes afterwards is lost.

    Raises:
        OSError: The file cannot be made, or the path exists and is no regular file.
    """
    with _maker.lock:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            if not path.is_file():
                raise OSError("it is no regular file") from None


def make_private(path: Path) -> None:
    """Make a store's file, and the two files that SQLite makes beside it, accessible for their owner only.

    Call this only for a file that is known to be a store.

    Raises:
        OSError: The file belongs to another user.
    """
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):  # SQLite removes the two files when no process uses the store
            if os.name == "posix" and file.stat().st_mode & 0o077:
                file.chmod(0o600)


class _Maker:
    """Lets only one thread at a time make a file.

    Otherwise, a second thread could open the new file with SQLite before the first thread closes its descriptor, and
    this close would drop SQLite's locks.
    """

    def __init__(self) -> None:
        self.after_fork()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self.lock = threading.Lock()


_maker = _Maker()
