"""Settings: the only module that reads environment variables and `.env`.

Everything has a default: with nothing configured the lake is a folder, the warehouse an embedded PostgreSQL, both under
`LAKEHOUSE_HOME`. Secrets are `SecretStr`: they print as stars wherever a setting ends up.
"""

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Self

from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from lakehouse.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
PREFIX = "LAKEHOUSE_"
# Lets one writer of an object store overwrite what another has just committed.
UNSAFE_RENAME = "AWS_S3_ALLOW_UNSAFE_RENAME"
# Read by profiles.yml and by Dagster's instance file, set by this project for the processes it starts.
_PASSED_ON = ("LAKEHOUSE_DBT_", "LAKEHOUSE_PG_", "LAKEHOUSE_DAGSTER_")
# Addresses of the systems that feeds pull from, one variable each.
_SYSTEM = "LAKEHOUSE_SYSTEM_"
# Read by the tests alone: the cluster that they are to use in place of a server of their own.
_TESTS = "LAKEHOUSE_KAFKA"


class Settings(BaseModel):
    """Where things are. Each field is set by `LAKEHOUSE_<FIELD>` in the environment or in a `.env` file.

    home: state of this machine: embedded PostgreSQL, Dagster's files, and the lake unless `lake` says otherwise.
    lake: a folder or an object-store URI (`s3://bucket/prefix`, with the usual AWS_* variables).
    landing: the folder that sites deliver into.
    remote: the URL of a folder elsewhere, whose files are fetched into `landing`; see docs/remote.md.
    warehouse: a PostgreSQL URL; none means the embedded server.
    as_of: the lakehouse's clock, for a study that has ended; none means today.
    batch_bytes: how much delivered text one ingestion batch holds in memory at most.
    keep_days: for how long every version of a table stays readable; at least a day, so that nobody reads a file away.
    settle_seconds: a landed file must have been left alone for this long before it is read.
    reports: URL of the folder of reports, if it is served somewhere; `lakehouse up` serves it otherwise.
    systems: URLs of the systems that feeds pull from, by name; each is set by `LAKEHOUSE_SYSTEM_<NAME>`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = PROJECT / ".lakehouse"
    lake: str = ""
    landing: Path = PROJECT / "landing"
    remote: SecretStr | None = None
    warehouse: SecretStr | None = None
    as_of: date | None = None
    batch_bytes: int = Field(default=16 * 2**20, gt=0)
    keep_days: int = Field(default=30, ge=1)
    settle_seconds: float = Field(default=2.0, ge=0)
    reports: str = ""
    systems: dict[str, SecretStr] = {}

    @property
    def lake_uri(self) -> str:
        """The lake's root: an absolute folder or a URI, without a trailing slash."""
        root = self.lake or str(self.home / "lake")
        return root.rstrip("/") if "://" in root else str(Path(root).absolute())

    @property
    def postgres(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.home / "postgres"

    @property
    def dagster(self) -> Path:
        """Dagster's home: its instance file, logs and artifacts."""
        return self.home / "dagster"

    def child_environment(self) -> dict[str, str]:
        """What a child process needs to be set to share these settings."""
        values = self.model_dump(exclude_none=True, exclude={"systems"})
        secrets = {"remote": self.remote, "warehouse": self.warehouse}
        values |= {name: secret.get_secret_value() for name, secret in secrets.items() if secret}
        systems = {_SYSTEM + name.upper(): url.get_secret_value() for name, url in self.systems.items()}
        return {**{PREFIX + name.upper(): str(value) for name, value in values.items()}, **systems}

    def system(self, name: str) -> str | None:
        """The URL of a system, credentials included; None when nobody has set it."""
        url = self.systems.get(name)
        return url.get_secret_value() if url else None

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, project: Path = PROJECT) -> Self:
        """Settings from the environment, over `.env` beside the project, over `settings.env` in the home folder.

        Raises ConfigurationError naming the file and line, or the variable, that cannot be used; never its value.
        """
        given = dict(os.environ if environment is None else environment)
        dotenv = project / ".env"
        written = _read(dotenv)
        origin = {**dict.fromkeys(written, str(dotenv)), **dict.fromkeys(given, "the environment")}
        named = {**written, **given}
        home = Path(named.get(PREFIX + "HOME") or cls.model_fields["home"].default)
        kept = _read(home / "settings.env")
        origin = {**dict.fromkeys(kept, str(home / "settings.env")), **origin}
        ours = {name: value for name, value in {**kept, **named}.items() if name.startswith(PREFIX) and value != ""}
        values: dict[str, object] = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in ours.items()
            if not name.startswith((*_PASSED_ON, _SYSTEM)) and name != _TESTS
        }
        systems = {name.removeprefix(_SYSTEM).lower(): url for name, url in ours.items() if name.startswith(_SYSTEM)}
        values.setdefault("systems", systems)
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError("\n".join(_explain(item, origin) for item in error.errors())) from None
        if "://" in settings.lake and given.get(UNSAFE_RENAME, "").lower() in {"1", "true", "yes", "on"}:
            raise ConfigurationError(
                f"{UNSAFE_RENAME}, set in the environment, lets writers undo each other's commits; unset it: the "
                "object store itself refuses to overwrite a commit, as docs/settings.md tells"
            )
        return settings.model_copy(update={"home": settings.home.absolute(), "landing": settings.landing.absolute()})


def export(variables: Mapping[str, str]) -> None:
    """Set variables for this process and those it starts."""
    os.environ.update(variables)


def inherited() -> dict[str, str]:
    """The variables a child process would see."""
    return dict(os.environ)


def _read(path: Path) -> dict[str, str]:
    """The variables a `.env` file sets; none when there is no such file."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}): write it as UTF-8 text") from None
    for binding in bindings:
        # What the parser takes for the text of a line begins with the blank lines before it.
        text = binding.original.string
        line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        if binding.error:
            raise ConfigurationError(f"{path}, line {line}: not a NAME=value line; mend it or remove it")
        if binding.key and binding.value is None:
            raise ConfigurationError(f"{path}, line {line}: {binding.key} has no value; write {binding.key}=…")
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}


def _explain(item: Mapping[str, object], origin: Mapping[str, str]) -> str:
    location = item["loc"]
    assert isinstance(location, tuple)
    name = PREFIX + str(location[0]).upper()
    where = origin.get(name, "the environment")
    if item["type"] == "extra_forbidden" or location == ("systems",):
        fields = [PREFIX + field.upper() for field in Settings.model_fields if field != "systems"]
        choices = ", ".join([*fields, f"{_SYSTEM}<NAME>", _TESTS])
        return f"{name}, set in {where}, is not a setting; there are {choices}"
    return f"{name}, set in {where}, cannot be used: {item['msg']}"
