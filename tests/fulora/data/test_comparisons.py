"""Which arms are compared: what is named, what is meant where nothing is, and which names arms may have."""

import pytest
from pydantic import ValidationError

from fulora.data.comparisons import ComparisonsConfig, check_arm_names


def test_the_baseline_is_that_of_the_declared_comparison_unless_it_is_named() -> None:
    assert ComparisonsConfig().common() == ""
    assert ComparisonsConfig(declared=("a", "b")).common() == "b"
    assert ComparisonsConfig(declared=("a", "b"), baseline="c").common() == "c"
    assert ComparisonsConfig(declared=("a", "b"), baseline="").common() == ""


def test_each_pair_is_compared_once_with_the_declared_one_first() -> None:
    asked = ComparisonsConfig(declared=("a", "b"), further=(("c", "b"), ("a", "b"), ("c", "b")))
    assert asked.pairs() == [("a", "b"), ("c", "b")]


def test_unknown_arms_and_pairs_of_one_arm_are_refused() -> None:
    with pytest.raises(ValueError, match=r"score.comparisons: no arm 'c'; there are a, b"):
        ComparisonsConfig(declared=("a", "b"), further=(("c", "b"),)).check(["a", "b"])
    with pytest.raises(ValueError, match=r"score.comparisons.baseline: no arm 'a, 10'; there are a"):
        ComparisonsConfig(baseline="a, 10").check(["a, 10"], baselines=["a"])
    with pytest.raises(ValidationError, match="'a' is compared with itself"):
        ComparisonsConfig(further=(("a", "a"),))


def test_arms_may_have_any_name_but_an_empty_one_or_one_of_several_lines() -> None:
    check_arm_names(["a - b", "x, y", "real minus", "👩‍⚕️", "胎児", "{}", "=1+1", "a|b"])
    for name in ("", "  ", "a\nb", "a\x1bb", "a\u2028b", "a\ud800b"):
        with pytest.raises(ValueError, match="a name has a letter or sign, and no line breaks or control characters"):
            check_arm_names(["fine", name])
