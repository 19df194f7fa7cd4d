"""Compressed deliveries to the bytes in them: all of them, or a refusal. Nothing of an archive is passed over."""

import io
import struct
import zipfile
import zlib

from lakehouse.errors import RefusalError

KINDS = {"gzip": ".gz", "zip": ".zip"}
RULE = "file:compression"

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
            members = archive.infolist()
            if len(members) != 1:
                words = f"the zip archive holds {len(members)} entries; put exactly one file in it and send it again"
                raise RefusalError(RULE, words)
            member = members[0]
            if member.flag_bits & 1:
                raise RefusalError(RULE, "the zip archive is locked with a password; send it without")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise RefusalError(RULE, "the zip archive is packed by an unusual method; pack it with deflate")
            if not _complete(data, archive, member):
                raise _damaged("zip")
            with archive.open(member) as stream:
                return stream.read(limit + 1)
    # Damage shows as any of these, depending on the byte.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise _damaged("zip") from error


def _complete(data: bytes, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether the archive is the member, the directory and nothing else: readers skip what they do not look for."""
    end = _LOCAL.size + sum(_LOCAL.unpack_from(data)) + member.compress_size
    tail = data.rfind(_END) + _END_SIZE + len(archive.comment)
    return member.header_offset == 0 and archive.start_dir - end in _DESCRIPTORS and tail == len(data)


def _damaged(kind: str) -> RefusalError:
    return RefusalError(RULE, f"the {kind} file is damaged or not complete; send it again")
