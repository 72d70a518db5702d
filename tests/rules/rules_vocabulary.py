"""A small vocabulary, with a model of every kind that an action may bring."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hydrusd.errors import ExpressionError
from hydrusd.rules import Duration, FilePath, FolderPath, Size, Vocabulary

KEY = "0123456789abcdef" * 4

HEAD = """\
client:
  url: http://127.0.0.1:45869
  access_key: ${env:KEY}
"""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WatchFolder(Strict):
    path: FolderPath
    include: list[str] = ["*"]
    settle: Duration = 2.0
    recursive: bool = True
    method: Literal["auto", "native", "poll"] = "auto"


class Startup(Strict):
    pass


class AddFile(Strict):
    pass


class AddTags(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[str]]


class MoveSource(Strict):
    to: FolderPath
    log: FilePath | None = None
    larger_than: Size = 0
    attempts: int = Field(default=3, ge=1, le=10)
    names: str | list[str] = "x"
    code: str = "abc"

    @field_validator("code")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("'code' must hold no {spaces}")
        return value


class Faulty(Strict):
    value: str = ""

    @field_validator("value")
    @classmethod
    def _boom(cls, value: str) -> str:
        raise RuntimeError(f"boom: {value}")


class WrongExpressionError(ExpressionError):
    def __init__(self, line, column):
        self.line, self.column = line, column
        self.message, self.hint = "a '?' means nothing", "leave it out"
        super().__init__(self.message)


def check(text):
    """Stand in for the expressions' room, which rules does not know: '?' is wrong."""
    for number, line in enumerate(text.split("\n"), 1):
        if "?" in line:
            raise WrongExpressionError(number, line.index("?") + 1)


VOCABULARY = Vocabulary(
    triggers={"watch_folder": WatchFolder, "startup": Startup},
    actions={
        "add_file": AddFile,
        "add_tags": AddTags,
        "faulty": Faulty,
        "move_source": MoveSource,
        "trash_source": AddFile,
    },
    check_condition=check,
    check_template=check,
)
