"""The short form of an action: a function with annotated parameters.

The class that comes of it is like any other: the parameters are the fields of its schema, the
docstring is its documentation. What needs more (undo, a plan, sets of items) is written as a
class from the start.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, get_type_hints, overload

from pydantic import BaseModel, create_model

from hydrusd.hydrus import Permission
from hydrusd.model import Outcome
from hydrusd.plugin._action import Action, Call

Said = Outcome | str | None
"""What the function may give: an outcome, or a word about what was done, or nothing."""

Function = Callable[..., Said] | Callable[..., Awaitable[Said]]

DECORATED = "__decorated_action__"


@overload
def action(function: Function, /) -> type[Action]: ...
@overload
def action(
    *,
    name: str | None = None,
    permissions: Iterable[Permission] = (),
    needs_client: bool = True,
    changes_client: bool = True,
    needs_source: bool = False,
    needs_files: bool = False,
    writes_into: tuple[str, ...] = (),
    repeat_shows: bool = False,
    no_undo: str = "",
) -> Callable[[Function], type[Action]]: ...
def action(
    function: Function | None = None, /, *, name: str | None = None, **says: Any
) -> type[Action] | Callable[[Function], type[Action]]:
    """Make an action of a function, called like it, and register it with its plugin.

    The first parameter takes the ``Call``. Each of the others needs an annotation and is a
    parameter in YAML, needed where it has no default. The function may be ``def`` (it is called
    in a thread) or ``async def``. ``says`` are what the class of an action says of itself. Raises
    TypeError for a function that cannot be an action.
    """
    if function is None:
        return lambda given: _made(given, name, says)
    return _made(function, name, says)


def _made(function: Function, name: str | None, says: dict[str, Any]) -> type[Action]:
    if not inspect.isfunction(function):
        raise TypeError(f"@action is for functions, not for {function!r}")
    parameters = list(inspect.signature(function).parameters.values())
    first, others = (parameters[0] if parameters else None), parameters[1:]
    if first is None or first.kind not in _PLAIN:
        raise TypeError(f"{function.__name__}() needs a first parameter, which takes the call")
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in others:
        if parameter.kind not in _NAMED:
            raise TypeError(f"{function.__name__}(): {parameter} cannot be a parameter in YAML")
        if parameter.name not in hints:
            raise TypeError(f"{function.__name__}(): {parameter.name!r} needs an annotation")
        if hasattr(Action, parameter.name) or hasattr(BaseModel, parameter.name):
            raise TypeError(
                f"{function.__name__}(): {parameter.name!r} means something else for an action; "
                f"name it differently"
            )
        needed = parameter.default is inspect.Parameter.empty
        fields[parameter.name] = (
            hints[parameter.name],
            ... if needed else parameter.default,
        )
    names = list(fields)

    def values(self: Action) -> dict[str, Any]:
        return {each: getattr(self, each) for each in names}

    # Two shapes, because a function that blocks must be called in a thread.
    if inspect.iscoroutinefunction(function):

        async def run(self: Action, call: Call[Action]) -> Outcome:
            return _outcome(await function(call, **values(self)))
    else:

        def run(self: Action, call: Call[Action]) -> Outcome:  # type: ignore[misc]
            return _outcome(function(call, **values(self)))

    title = "".join(part.title() for part in re.split(r"_+", function.__name__))
    made = create_model(
        title, __base__=Action, __module__=function.__module__, __doc__=function.__doc__, **fields
    )
    if "permissions" in says:
        says["permissions"] = frozenset(says["permissions"])
    about = {**says, "action": name or function.__name__, "run": run, DECORATED: True}
    about |= {"__plugin_file__": function.__code__.co_filename}
    for key, value in about.items():
        setattr(made, key, value)
    return made


def _outcome(said: object) -> Outcome:
    if said is None or isinstance(said, str):
        return Outcome.done(said or "")
    return said  # type: ignore[return-value] # the lane refuses what is no outcome


_PLAIN = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
_NAMED = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
