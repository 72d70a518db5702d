"""The ways in which a client refuses, each with the exception name it shows to callers."""

from __future__ import annotations

EXCEPTION_NAMES = {
    400: "BadRequestException",
    401: "MissingCredentialsException",
    403: "InsufficientCredentialsException",
    404: "NotFoundException",
    406: "NotAcceptableException",
    409: "ConflictException",
    416: "RangeNotSatisfiableException",
    419: "SessionException",
    422: "UnprocessableEntity",
    426: "NetworkVersionException",
    500: "ServerException",
    503: "ServerBusyException",
    509: "BandwidthException",
}


class Refusal(Exception):
    """An error answer: status, Hydrus' exception name, and the client's words."""

    def __init__(self, status: int, words: str, exception_name: str = "") -> None:
        self.status = status
        self.words = words
        self.exception_name = exception_name or EXCEPTION_NAMES.get(status, "ServerException")
        super().__init__(words)


class Unforeseen(Refusal):
    """What a client answers when its own code fell over: 500 and a traceback.

    ``last_line`` is the traceback's end (``builtins.KeyError: 'x'``).
    """

    def __init__(self, exception_name: str, last_line: str) -> None:
        self.last_line = last_line
        super().__init__(500, last_line, exception_name)


def bad_request(words: str) -> Refusal:
    """Give a 400."""
    return Refusal(400, words)


def missing_parameter(name: str) -> Refusal:
    """Give the 400 of a required parameter that did not come."""
    return Refusal(400, f'The required parameter "{name}" was missing!')
