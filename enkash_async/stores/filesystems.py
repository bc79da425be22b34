"""Checks that a file is on a local disk, and makes it readable only for its owner."""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
from pathlib import Path

__all__ = ["check_local", "filesystem_of", "identity_of", "make_private"]

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


def make_private(path: Path) -> None:
    """Make the file if it does not exist. Do not open an existing file: closing it would drop SQLite's locks."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        mode = path.stat().st_mode
        # Only files: if the path is a folder by mistake, mode 0600 would make the folder unusable.
        if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
            path.chmod(0o600)
