"""Problems and notes of a study, each with the place in the config that it is about."""

from dataclasses import dataclass, field

from fulora.config import ConfigError

Said = dict[str, list[str]]
"""Messages, each with all places in the config that it is about."""


@dataclass
class Findings:
    """Everything that was found: problems stop a study, notes do not."""

    problems: Said = field(default_factory=dict)
    notes: Said = field(default_factory=dict)

    def problem(self, where: str, message: str) -> None:
        """Add what stops the study; the same message about several places is said once."""
        _add(self.problems, where, message)

    def note(self, where: str, message: str) -> None:
        """Add what the reader should know."""
        _add(self.notes, where, message)

    def about(self, where: str) -> bool:
        """Whether a problem is about a place of the config, or one in it."""
        places = [place for places in self.problems.values() for place in places]
        return any(place == where or place.startswith(f"{where}.") for place in places)

    def note_lines(self) -> list[str]:
        """The notes, one a line."""
        return [f"note: {line}" for line in _lines(self.notes)]

    def stop(self, name: str) -> None:
        """Raise what was found, if a problem is among it.

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


def _add(said: Said, where: str, message: str) -> None:
    places = said.setdefault(message, [])
    if where not in places:
        places.append(where)


def _lines(said: Said) -> list[str]:
    return [f"{', '.join(places)}: {message}" for message, places in said.items()]
