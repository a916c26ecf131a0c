"""Problems and notes of a study, each with the place in the config that it is about."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fulora.config import ConfigError

Messages = dict[str, list[str]]
"""Messages, each with all places in the config that it is about."""


@dataclass
class Findings:
    """Problems, which stop a study, and notes, which do not."""

    problems: Messages = field(default_factory=dict)
    notes: Messages = field(default_factory=dict)

    def problem(self, where: str, message: str) -> None:
        """Add a problem; the same message about several places is listed once."""
        _add(self.problems, where, message)

    def note(self, where: str, message: str) -> None:
        """Add a note."""
        _add(self.notes, where, message)

    @contextmanager
    def collect(self, where: str, *errors: type[Exception]) -> Iterator[None]:
        """Add an error of one of these classes as a problem, and end the block."""
        try:
            yield
        except errors as error:
            self.problem(where, str(error))

    def note_lines(self) -> list[str]:
        """Return the notes, one a line."""
        return [f"note: {line}" for line in _lines(self.notes)]

    def stop(self, name: str) -> None:
        """Raise all findings if there is a problem.

        Args:
            name: of the config.

        Raises:
            ConfigError: all problems, and the notes after them.
        """
        if not self.problems:
            return
        lines = [*_lines(self.problems), *self.note_lines()]
        count = len(self.problems)
        head = f"{name}: {count} problem{'s' if count > 1 else ''}, found before anything runs"
        raise ConfigError("\n".join([head, *("  " + line.replace("\n", "\n    ") for line in lines)]))


def _add(messages: Messages, where: str, message: str) -> None:
    places = messages.setdefault(message, [])
    if where not in places:
        places.append(where)


def _lines(messages: Messages) -> list[str]:
    return [f"{', '.join(places)}: {message}" for message, places in messages.items()]
