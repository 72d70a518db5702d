"""What a rules file says beside its rules, as it is written there.

These models are what is checked, what the schema tells editors and what the reference is made
of: three views of one thing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from hydrusd.rules._specs import BackupsSpec, HistorySpec, LimitsSpec
from hydrusd.rules._units import Age, Duration, FilePath, FolderPath


class Folders(BaseModel):
    """A folder that both machines see."""

    model_config = ConfigDict(extra="forbid")

    here: FolderPath = Field(description="The folder as this machine calls it.")
    there: str = Field(description="The same folder as the client's machine calls it.")


class Limits(BaseModel):
    """How much a rule may do before it rests or waits."""

    model_config = ConfigDict(extra="forbid")

    per_hour: int = Field(
        default=LimitsSpec().per_hour,
        ge=1,
        description="How many jobs the rule may begin in an hour; what is too much waits.",
    )
    per_minute: int | None = Field(
        default=None,
        ge=1,
        description="How many jobs the rule may begin in a minute; what is too much waits.",
    )
    per_run: int = Field(
        default=LimitsSpec().per_run,
        ge=1,
        description="How many jobs one run may have; the rest become dead letters at once.",
    )
    failures: int = Field(
        default=LimitsSpec().failures,
        ge=1,
        description="How many jobs in a row may give up before the rule rests for a while.",
    )


class Backups(BaseModel):
    """How the ledger is backed up."""

    model_config = ConfigDict(extra="forbid")

    every: Duration = Field(
        default=BackupsSpec().every_seconds,
        description="How often the ledger is backed up: an hour or more.",
        json_schema_extra={"default": "1d"},
    )
    keep: int = Field(
        default=BackupsSpec().keep,
        ge=0,
        le=100,
        description="How many backups are kept; 0 makes none.",
    )

    @field_validator("every")
    @classmethod
    def _not_too_often(cls, value: float) -> float:
        if value < 3600:
            raise ValueError("it must be at least 1h")
        return value


class History(BaseModel):
    """How long what has ended is kept whole."""

    model_config = ConfigDict(extra="forbid")

    keep: Age = Field(
        default=HistorySpec().keep,
        description="How long the details of what has ended are kept: a day or more, or `forever`.",
        json_schema_extra={"default": "366d"},
    )
    keep_dull: Age = Field(
        default=HistorySpec().keep_dull,
        description="The same for jobs of which nothing came, and for what no rule wanted.",
        json_schema_extra={"default": "60d"},
    )


class Client(BaseModel):
    """How to reach a Hydrus client."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(description="Where its Client API is, as in http://127.0.0.1:45869.")
    access_key: str = Field(
        description="The key that Hydrus shows, or better where it is kept: `${env:NAME}`, "
        "`${file:PATH}` or `${keyring:SERVICE/NAME}`."
    )
    commit_wait: Duration = Field(
        default=60.0,
        description="How long to wait before sources are touched, where the client cannot be "
        "asked to commit.",
        json_schema_extra={"default": "1m"},
    )
    timeout: Duration = Field(
        default=120.0,
        description="How long one request may take.",
        json_schema_extra={"default": "2m"},
    )
    transfer: Literal["auto", "bytes", "path"] = Field(
        default="bytes",
        description="How files are handed over: as `bytes`, by their `path`, or `auto`.",
    )
    path_map: list[Folders] = Field(
        default=[], description="What folders are called here and there, for `path` and `auto`."
    )
    allow_plain_http: StrictBool = Field(
        default=False,
        description="Must be true for a client on another machine whose address begins with http:.",
    )
    tls_ca_file: FilePath | None = Field(
        default=None, description="The certificate that the client must show, as a file."
    )
    tls_fingerprint: str | None = Field(
        default=None, description="The SHA-256 of the certificate that the client must show."
    )
    progress_popups: Duration | None = Field(
        default=None,
        description="Runs that take longer than this are told in Hydrus' window.",
    )
