"""What can go wrong, told apart by what to do about it.

Every message names what it happened to, what was kept and the next step, and never holds a row's values or a secret.
"""


class LakehouseError(Exception):
    """A failure that trying again does not mend: someone has to change something first."""


class ConfigurationError(LakehouseError):
    """A setting is wrong or missing; the message names it and where it was read."""


class DefinitionError(LakehouseError):
    """Code of this lakehouse (a source, a curated table) does not do what it declares."""


class HeldError(LakehouseError):
    """Something waits for a person to look at it and release it."""


class NotOnRecordError(LakehouseError):
    """Somebody asked for a delivery that the ledger does not have."""


class CutError(LakehouseError):
    """A data cut cannot be made, read or dropped as asked; the message says what there is instead."""


class UnavailableError(LakehouseError):
    """Something outside is down or full; the same call may well succeed later."""


class SupersededError(LakehouseError):
    """Another run has already done, or is doing, this work; nothing of this attempt was kept."""


class SourceError(ValueError):
    """A source is declared in a way that cannot work; the message names the source, what is wrong and the choices."""


class RefusalError(Exception):
    """A delivered file cannot be read and is refused whole; `rule` names why, the message is what its site reads."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(words)
        self.rule = rule


def unavailable(error: Exception, what: str) -> UnavailableError:
    """What a storage library's failure means, without its own words, which hold paths and requests.

    what: what could not be done because of it.
    """
    text = str(error)
    for sign, advice in (
        ("No space left", "the disk is full: free some space and run again"),
        ("Permission denied", "the lake may not be written: give this user the right to write it and run again"),
        ("Read-only file system", "the lake is on a read-only file system: mount it for writing and run again"),
        ("NoSuchBucket", "the bucket does not exist: make it, or set LAKEHOUSE_LAKE to one that does, and run again"),
        (
            "403 Forbidden",
            "the object store refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        ("error sending request", "the object store does not answer: check AWS_ENDPOINT_URL, or run again later"),
    ):
        if sign in text:
            return UnavailableError(f"{what}: {advice}; what was committed before is kept")
    return UnavailableError(f"{what} ({type(error).__name__}); what was committed before is kept")
