"""YAML as configs are written: small, finite, every key a text and given once. Anything else is one error with a line.

A few lines of YAML can stand for billions of values (aliases of aliases), for a nesting that no program survives, or
for numbers that no machine has; all of them are refused before anything is made of them. YAML 1.1 reads `010` as 8 and
`1:30` as 90; here they stay the text that is written, of which a field for numbers makes 10, and an error.
"""

import math
import re
from typing import Any, NoReturn

import yaml

MAX_CHARACTERS = 200_000
MAX_DEPTH = 40
MAX_VALUES = 50_000
MAX_WHOLE = 2**64
"""A whole number is smaller than this, either way."""


NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_ANOTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""Numbers to base 8 by a leading zero, and to base 60."""


class PlainYamlError(ValueError):
    """Text that is not such YAML; says at which line and column, and why.

    Attributes:
        quotable: it is none by its signs, so that a value may be meant as text, and quotes would help.
    """

    def __init__(self, message: str, *, quotable: bool = False) -> None:
        super().__init__(message)
        self.quotable = quotable


def load_yaml(text: str) -> Any:
    """What the text stands for: mappings, lists, texts, numbers, true and false, dates and None.

    Raises:
        PlainYamlError: invalid YAML, more than 200,000 characters or 50,000 values, aliases counted in full, deeper
            than 40, a key that is no text or given more than once, a number that is not finite or has over 64 bits, or
            that is marked `!!int` and to base 8 or 60, a text with NUL or half a character.
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
        """The tag of a node without one; numbers to base 8 and 60 are texts."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return "tag:yaml.org,2002:str" if tag in NUMBERS and _ANOTHER_BASE.fullmatch(value) else tag

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, if it is not nested too deep."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH}", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_document(self, node: yaml.Node) -> Any:
        """The document, if it is not too large with every alias in full."""
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
        """The mapping of a node, whose keys are texts, each given once."""
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
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; a number is finite and has at most 64 bits."""
        if node.tag in NUMBERS and isinstance(node, yaml.ScalarNode) and _ANOTHER_BASE.fullmatch(node.value):
            _refuse(f"'{node.value[:40]}' is a number to base 8 or 60; write it to base 10", node.start_mark)
        try:
            found = super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            _refuse(f"'{str(node.value)[:40]}' cannot be read ({error})", node.start_mark)
        if isinstance(found, float) and not math.isfinite(found):
            _refuse(f"{node.value} is not a finite number", node.start_mark)
        if isinstance(found, str) and ("\0" in found or any("\ud800" <= letter <= "\udfff" for letter in found)):
            _refuse(f"{found[:40]!r} holds NUL or half a character; a text is Unicode", node.start_mark)
        if isinstance(found, int) and not -MAX_WHOLE < found < MAX_WHOLE:
            _refuse(f"{str(node.value)[:40]} is too large; whole numbers have at most 64 bits", node.start_mark)
        return found


def _refuse(problem: str, mark: Any) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, mark)
