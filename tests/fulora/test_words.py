import pytest

from fulora.words import counted


@pytest.mark.parametrize(
    ("given", "text"),
    [((0, "image"), "0 images"), ((1, "image"), "1 image"), ((1200, "patient"), "1,200 patients")],
)
def test_nouns_follow_their_number(given: tuple[int, str], text: str) -> None:
    assert counted(*given) == text


def test_an_irregular_plural_is_given() -> None:
    assert [counted(n, "study", "studies") for n in (1, 2)] == ["1 study", "2 studies"]
