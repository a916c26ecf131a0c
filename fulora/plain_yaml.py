"""Safe YAML for configs: of limited size, with unique keys that are strings. Every error names the line.

A few lines of YAML can expand to billions of values (aliases of aliases), to any depth, or contain numbers that are too
large; all of this is refused before it is expanded. YAML 1.1 reads `010` as 8 and `1:30` as 90; here they stay strings,
which a numeric field reads as 10, and refuses.
"""

import math
import re
from typing import Any, NoReturn

import yaml

MAX_CHARACTERS = 200_000
MAX_DEPTH = 40
MAX_VALUES = 50_000
MAX_WHOLE = 2**64
"""The absolute value of an integer is smaller than this."""

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_ANOTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""Numbers to base 8 by a leading zero, and to base 60."""


class PlainYamlError(ValueError):
    """Invalid YAML; the message names the line, the column and the cause.

    Attributes:
        quotable: whether quotes may help, as the syntax is wrong: the value may be meant as text.
    """

    def __init__(self, message: str, *, quotable: bool = False) -> None:
        super().__init__(message)
        self.quotable = quotable


def load_yaml(text: str) -> Any:
    """Parse YAML into mappings, lists, strings, numbers, booleans, dates and None.

    Raises:
        PlainYamlError: if it is invalid; has more than 200,000 characters or 50,000 values (aliases expanded); is
            nested deeper than 40; has keys that are duplicates or no strings; numbers that are not finite, have over 64
            bits, or are marked `!!int` and in base 8 or 60; or strings with NUL or surrogates.
    """
    if len(text) > MAX_CHARACTERS:
        raise PlainYamlError(f"{len(text):,} characters; allowed are {MAX_CHARACTERS:,}")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        signs = isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError)
        raise PlainYamlError(f"{place}{error.problem or error.context}", quotable=signs) from error
    except yaml.YAMLError as error:  # a control character
        raise PlainYamlError(" ".join(str(error).split())) from error


class _Loader(yaml.SafeLoader):
    depth = 0
    values = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Return the tag of a node without one; numbers in base 8 and 60 are strings."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return "tag:yaml.org,2002:str" if tag in NUMBERS and _ANOTHER_BASE.fullmatch(value) else tag

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, unless it is nested too deep."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH}", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_document(self, node: yaml.Node) -> Any:
        """Return the document, unless it is too large with all aliases expanded."""
        self._count(node, 1)
        return super().construct_document(node)

    def _count(self, node: yaml.Node, depth: int) -> None:
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            _refuse(
                f"more than {MAX_VALUES:,} values, or nested deeper than {MAX_DEPTH}: do without &, *", node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._count(key, depth + 1)
                self._count(value, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._count(item, depth + 1)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node, whose keys are unique strings."""
        seen = set[str]()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                written = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                _refuse(f"the key {written} is no text; keys are texts, so quote it if it is meant", key.start_mark)
            if key.value in seen:
                _refuse(f"the key '{key.value}' is given more than once", key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; a number is finite and has at most 64 bits."""
        if node.tag in NUMBERS and isinstance(node, yaml.ScalarNode) and _ANOTHER_BASE.fullmatch(node.value):
            _refuse(f"'{node.value[:40]}' is a number to base 8 or 60; write it to base 10", node.start_mark)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            _refuse(f"'{str(node.value)[:40]}' cannot be read ({error})", node.start_mark)
        if isinstance(value, float) and not math.isfinite(value):
            _refuse(f"{node.value} is not a finite number", node.start_mark)
        if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
            _refuse(f"{value[:40]!r} holds NUL or half a character; a text is Unicode", node.start_mark)
        if isinstance(value, int) and not -MAX_WHOLE < value < MAX_WHOLE:
            _refuse(f"{str(node.value)[:40]} is too large; whole numbers have at most 64 bits", node.start_mark)
        return value


def _refuse(problem: str, mark: Any) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, mark)
