"""Templates and conditions, in a box.

Rules are trusted as code is, but what they are rendered *with* is not: file names,
tags and titles come from strangers. So a rule's text is compiled once and data is
never compiled at all, the language sees plain data only, and neither an honest
mistake (``range(10**9)``) nor a hostile one can take the daemon's time or memory.

The language is Jinja's, without what cannot be bounded: no macros, no includes, no
recursion, no ``%`` formatting. ``KB``, ``MB``, ``GB`` and ``TB`` are constants that
count in 1024s, because that is how Hydrus shows the size of files.
"""

from __future__ import annotations

from hydrusd.expressions._compiled import (
    Condition,
    Conjunct,
    Expressions,
    Result,
    Template,
    Term,
    Value,
    is_template,
)
from hydrusd.expressions._conjuncts import Asks
from hydrusd.expressions._plain import PlainData, plain
from hydrusd.expressions._syntax import ExpressionSyntaxError, Read
from hydrusd.expressions._told import FilterWords, filters_told

__all__ = [
    "Asks",
    "Condition",
    "Conjunct",
    "ExpressionSyntaxError",
    "Expressions",
    "FilterWords",
    "PlainData",
    "Read",
    "Result",
    "Template",
    "Term",
    "Value",
    "filters_told",
    "is_template",
    "plain",
]
