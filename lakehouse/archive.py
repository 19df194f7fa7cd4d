"""Compressed deliveries to the bytes in them: all of them, or a refusal. Nothing of an archive is passed over."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO

from lakehouse.errors import RefusalError

KINDS = {"gzip": ".gz", "zip": ".zip"}
RULE = "file:compression"
# How many times its size a packed delivery may be as text: rather too much, for what is read together is held together.
EXPANDS = 16

# A small archive that unpacks to very much is a mistake or an attack, and would take the memory of everybody's run.
# Exports of mostly empty columns reach 100:1.
_ALWAYS, _RATIO, _MOST = 1 << 26, 200, 1 << 30
# What may stand between a zip member and the directory: nothing, or its checksum and sizes in one of four layouts.
_DESCRIPTORS = (0, 12, 16, 20, 24)
_LOCAL = struct.Struct("<26xHH")
_END = b"PK\5\6"
_END_SIZE = 22


def unpack(data: bytes, kind: str) -> bytes:
    """What a file compressed as `kind` (of KINDS) holds.

    Raises RefusalError when it is not such a file, is damaged, holds anything but exactly one compressed file, or
    unpacks to more than 1 GiB, or to more than 64 MiB and 200 times its size.
    """
    limit = most(len(data))
    found = _gunzip(data, limit) if kind == "gzip" else _unzip(data, limit)
    if len(found) > limit:
        raise RefusalError(
            RULE,
            f"the file unpacks to more than {limit >> 20} MiB, too much for its size; send it in smaller parts",
        )
    return found


def most(size: int) -> int:
    """How many bytes `size` bytes may unpack to."""
    return min(_MOST, max(_ALWAYS, _RATIO * size))


def _gunzip(data: bytes, limit: int) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        raise RefusalError(RULE, "the file is not compressed with gzip, as is agreed for this site; send it so")
    stream = zlib.decompressobj(wbits=31)
    try:
        found = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise _damaged("gzip") from error
    if len(found) <= limit and not stream.eof:
        raise _damaged("gzip")
    if stream.unused_data:
        raise RefusalError(RULE, "the gzip file goes on after its end; compress exactly one file and send it again")
    return found


def _unzip(data: bytes, limit: int) -> bytes:
    if not data.startswith((b"PK\3\4", _END)):
        raise RefusalError(RULE, "the file is not a zip archive, as is agreed for this site; send it so")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            if len(found) != 1:
                words = f"the zip archive holds {len(found)} entries; put exactly one file in it and send it again"
                raise RefusalError(RULE, words)
            [member] = checked(io.BytesIO(data), archive)
            with archive.open(member) as stream:
                return stream.read(limit + 1)
    # Damage shows as any of these, depending on the byte.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise _damaged("zip") from error


def checked(stream: IO[bytes], archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What the zip archive in `stream` holds, in the order of its bytes.

    Raises RefusalError when some of it is locked or packed by another method than deflate, or when there is more to it
    than its members and the directory: readers skip what they do not look for.
    """
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    for member in members:
        if member.flag_bits & 1:
            raise RefusalError(RULE, "the zip archive is locked with a password; send it without")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusalError(RULE, "the zip archive is packed by an unusual method; pack it with deflate")
    if not _complete(stream, archive, members):
        raise _damaged("zip")
    return members


def _complete(stream: IO[bytes], archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> bool:
    """Whether the archive is its members one after another, the directory and nothing else."""
    end = 0
    for number, member in enumerate(members):
        if member.header_offset - end not in (_DESCRIPTORS if number else (0,)):
            return False
        stream.seek(member.header_offset)
        end = member.header_offset + _LOCAL.size + sum(_LOCAL.unpack(stream.read(_LOCAL.size))) + member.compress_size
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END_SIZE - len(archive.comment)))
    return archive.start_dir - end in _DESCRIPTORS and stream.read().rfind(_END) == 0


def _damaged(kind: str) -> RefusalError:
    return RefusalError(RULE, f"the {kind} file is damaged or not complete; send it again")
