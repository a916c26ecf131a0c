"""Splits: nobody in two of them, the shares that were asked for, and pictures that are the same stay together."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulora.data.column_types import Split
from fulora.data.split_file import SplitFile
from fulora.data.splits import (
    Member,
    Shares,
    SplitError,
    as_published,
    by_patient,
    clusters,
    few_images,
    few_patients,
    folds,
    in_blocks,
    stratified,
    without_site,
)

SHARES: dict[Split, float] = {"train": 0.5, "validation": 0.2, "test": 0.3}
Rule = Callable[[list[Member]], dict[str, Split]]
RULES: dict[str, Rule] = {
    "by patient": lambda members: by_patient(members, SHARES, 0),
    "stratified": lambda members: stratified(members, SHARES, 0),
    "in blocks": lambda members: in_blocks(members, SHARES),
}


def people(count: int, site: str = "A", images: int = 1) -> list[Member]:
    return [Member(f"{site}{n}.{k}", f"s/{site}/{n}", "brain", site) for n in range(count) for k in range(images)]


@st.composite
def sets(draw: st.DrawFn) -> list[Member]:
    """Images of up to 40 patients at two sites, some of them with the same pixels, under different patients too."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 19),
                st.sampled_from("AB"),
                st.sampled_from(["brain", "femur", "thorax"]),
                st.integers(0, 60),
            ),
            max_size=80,
        )
    )
    return [
        Member(f"i{n}", f"s/{site}/{who}", plane, site, f"p{pix}") for n, (who, site, plane, pix) in enumerate(rows)
    ]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(deadline=None, max_examples=60)
@given(members=sets())
def test_no_patient_and_no_picture_crosses(rule: Rule, members: list[Member]) -> None:
    found = rule(members)
    assert set(found) == {member.patient for member in members}
    where = defaultdict(set)
    for member in members:
        where[member.pixels].add(found[member.patient])
    assert all(len(splits) == 1 for splits in where.values())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(deadline=None, max_examples=30)
@given(members=sets(), order=st.randoms(use_true_random=False))
def test_the_order_does_not_matter(rule: Rule, members: list[Member], order: object) -> None:
    shuffled = list(members)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rule(shuffled) == rule(members)


def test_clusters_are_joined_through_others() -> None:
    members = [
        Member("1", "s/A/3", pixels="x"),
        Member("2", "s/A/2", pixels="x"),
        Member("3", "s/A/2", pixels="y"),
        Member("4", "s/B/1", pixels="y"),
        Member("5", "s/B/9", pixels="z"),
        Member("6", "s/B/8"),
        Member("7", "s/B/7"),
    ]
    assert clusters(members) == {
        "s/A/2": "s/A/2",
        "s/A/3": "s/A/2",
        "s/B/1": "s/A/2",
        "s/B/9": "s/B/9",
        "s/B/8": "s/B/8",
        "s/B/7": "s/B/7",
    }


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_by_patient_keeps_the_shares_of_every_site(a: int, b: int, seed: int) -> None:
    found = by_patient(people(a, images=2) + people(b, "B"), SHARES, seed)
    for site, count in (("A", a), ("B", b)):
        sizes = Counter(split for key, split in found.items() if f"/{site}/" in key)
        for split in ("validation", "test"):
            if count >= 3:
                assert sizes[split] == max(1, round(SHARES[split] * count))
        assert sizes["train"] >= (count > 0)


@pytest.mark.parametrize("rule", [by_patient, stratified])
def test_one_split_takes_all(rule: Callable[[list[Member], Shares, int], dict[str, Split]]) -> None:
    assert set(rule(people(5), {"test": 1.0}, 0).values()) == {"test"}


@pytest.mark.parametrize("rule", [by_patient, stratified])
def test_a_small_site_trains_before_it_is_held_out(
    rule: Callable[[list[Member], Shares, int], dict[str, Split]],
) -> None:
    assert rule(people(1), SHARES, 0) == {"s/A/0": "train"}
    held_out = "validation" if rule is by_patient else "test"  # the larger of the two shares
    assert sorted(rule(people(2), SHARES, 0).values()) == sorted(["train", held_out])
    assert sorted(rule(people(3), SHARES, 0).values()) == ["test", "train", "validation"]


def test_another_site_and_added_patients_change_little() -> None:
    found = by_patient(people(20), SHARES, 3)
    both = by_patient([*people(9, "B"), *people(20)], SHARES, 3)
    assert {key: both[key] for key in found} == found
    before, after = by_patient(people(100), SHARES, 0), by_patient(people(105), SHARES, 0)
    assert len([key for key in before if before[key] != after[key]]) <= 2 * 5
    halves: dict[Split, float] = {"train": 0.8, "validation": 0.2}
    untouched, grown = by_patient(people(100), halves, 0), by_patient(people(101), halves, 0)
    assert sum(untouched[key] != grown[key] for key in untouched) <= 1


@pytest.mark.parametrize("rule", [by_patient, stratified])
def test_the_seed_decides_who(rule: Callable[[list[Member], Shares, int], dict[str, Split]]) -> None:
    assert rule(people(40), SHARES, 0) != rule(people(40), SHARES, 1)


def uneven() -> list[Member]:
    """60 patients; a rare plane is shown by every sixth of them, three images each."""
    common = [Member(f"c{n}.{k}", f"s/A/{n}", "brain", "A") for n in range(60) for k in range(1 + n % 4)]
    return common + [Member(f"r{n}.{k}", f"s/A/{n}", "thorax", "A") for n in range(0, 60, 6) for k in range(3)]


def test_stratified_keeps_the_share_of_every_plane_where_by_patient_does_not() -> None:
    def worst(found: dict[str, Split]) -> float:
        wrong = []
        for plane in ("brain", "thorax"):
            sizes = Counter(found[m.patient] for m in uneven() if m.plane == plane)
            wrong += [abs(sizes[split] / sum(sizes.values()) - share) for split, share in SHARES.items()]
        return max(wrong)

    assert max(worst(stratified(uneven(), SHARES, seed)) for seed in range(10)) <= 0.04
    assert max(worst(by_patient(uneven(), SHARES, seed)) for seed in range(10)) > 0.1


def test_stratified_is_as_even_as_scikit_learn_and_keeps_groups_as_it_does() -> None:
    """An outside reference on equal fifths: StratifiedGroupKFold, mean absolute deviation of plane shares."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    members = uneven()
    planes, groups = [m.plane for m in members], [m.patient for m in members]
    folds = model_selection.StratifiedGroupKFold(5, shuffle=True, random_state=0).split(planes, planes, groups)
    theirs = [Counter(planes[i] for i in held_out) for _, held_out in folds]
    found = stratified(members, {"train": 0.8, "test": 0.2}, 0)
    mine = Counter(m.plane for m in members if found[m.patient] == "test")
    totals = Counter(planes)

    def off(sizes: Counter[str]) -> float:
        return max(abs(sizes[plane] / totals[plane] - 0.2) for plane in totals)

    assert off(mine) <= max(off(sizes) for sizes in theirs)


def test_blocks_are_contiguous_and_a_gap_keeps_neighbours_apart() -> None:
    found = in_blocks(people(20), SHARES)
    assert [found[f"s/A/{n}"] for n in range(20)] == ["train"] * 10 + ["validation"] * 4 + ["test"] * 6
    apart = in_blocks(people(20), SHARES, gap=1)
    assert [apart.get(f"s/A/{n}", "-")[0] for n in range(20)] == [*"ttttttttt", *"--vv--", *"ttttt"]
    assert set(found) - set(apart) == {"s/A/9", "s/A/10", "s/A/13", "s/A/14"}


def test_blocks_need_numbers() -> None:
    with pytest.raises(SplitError, match="s/A/x: its patient is no number"):
        in_blocks([Member("i", "s/A/x")], SHARES)


def test_one_site_is_left_out() -> None:
    members = people(10) + people(4, "B") + people(6, "C")
    found = without_site(members, "B", {"train": 0.5, "validation": 0.5}, 0)
    assert {key for key, split in found.items() if split == "test"} == {f"s/B/{n}" for n in range(4)}
    assert Counter(found.values()) == {"train": 8, "validation": 8, "test": 4}
    with pytest.raises(SplitError, match="site 'X' cannot be left out; the sites are: A, B, C"):
        without_site(members, "X", SHARES, 0)
    with pytest.raises(SplitError, match=r"site 'A' cannot be left out; the sites are: A$"):
        without_site(people(3), "A", SHARES, 0)
    shared = [*members, Member("x", "s/B/0", "brain", "B", "same"), Member("y", "s/C/2", "brain", "C", "same")]
    with pytest.raises(SplitError, match="s/C/2: share a picture with a patient of B"):
        without_site(shared, "B", {"train": 1.0}, 0)


def test_published_splits_are_kept_and_their_leaks_refused() -> None:
    members = [Member("a", "s/A/1", published="train"), Member("b", "s/A/2", pixels="p", published="test")]
    assert as_published(members) == {"s/A/1": "train", "s/A/2": "test"}
    with pytest.raises(SplitError, match="c: its source names no split"):
        as_published([*members, Member("c", "s/A/3")])
    with pytest.raises(SplitError, match=r"1 patients are in two published splits.*: s/A/1; leave them out"):
        as_published([*members, Member("c", "s/A/1", published="test")])
    with pytest.raises(SplitError, match=r"2 patients are in two.*: s/A/2, s/A/3"):
        as_published([*members, Member("c", "s/A/3", pixels="p", published="train")])


def test_a_few_images_come_from_as_many_patients_as_there_are() -> None:
    members = people(6, images=5)
    chosen = few_images(members, 6, 0)
    assert {image.split(".")[0] for image in chosen} == {f"A{n}" for n in range(6)}
    assert len(few_images(members, 13, 0)) == 13
    assert Counter(image.split(".")[0] for image in few_images(members, 13, 0)).most_common()[0][1] == 3
    assert few_images(members, 6, 0) < few_images(members, 13, 0)
    assert few_images(members, 6, 0) != few_images(members, 6, 1)
    with pytest.raises(SplitError, match="brain: 31 images a plane are wanted and there are 30"):
        few_images(members, 31, 0)


def test_a_few_patients_bring_all_their_images() -> None:
    chosen = few_patients(people(6, images=5), 2, 0)
    assert len(chosen) == 10
    assert len({image.split(".")[0] for image in chosen}) == 2
    with pytest.raises(SplitError, match="brain: 7 patients are wanted and 6 show it"):
        few_patients(people(6), 7, 0)


def test_shares_that_are_not_the_whole() -> None:
    with pytest.raises(SplitError, match=r"add up to 0\.9, not to 1: .*'train': 0\.5"):
        by_patient(people(4), {"train": 0.5, "test": 0.4}, 0)


# --- the file

SPLIT = SplitFile(
    "stratified, seed 3", {"s/A/2": "test", "s/A/1": "train", "s/Ä/3": "train"}, frozenset({"s/A/9"}), frozenset("ab")
)


def test_a_split_file_comes_back_and_is_the_same_bytes(tmp_path: Path) -> None:
    SPLIT.save(tmp_path / "a.json")
    again = SplitFile.load(tmp_path / "a.json")
    assert again == SPLIT
    assert again.digest == SPLIT.digest
    SplitFile(SPLIT.rule, dict(sorted(SPLIT.patients.items())), SPLIT.left_out, SPLIT.images).save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert SplitFile("", SPLIT.patients).digest != SPLIT.digest


def test_a_split_says_where_an_image_stands() -> None:
    assert SPLIT.split_of("a", "s/A/1") == "train"
    assert SPLIT.split_of("c", "s/A/1") is None
    assert SPLIT.split_of("a", "s/A/9") is None
    with pytest.raises(SplitError, match=r"s/A/7: is not in the split \(stratified, seed 3, \w+\); make it again"):
        SPLIT.split_of("a", "s/A/7")


def test_a_split_file_that_was_changed_or_is_none(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    SPLIT.save(path)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("s/A/2", "s/A/4"), encoding="utf-8")
    with pytest.raises(SplitError, match=rf"its digest says {SPLIT.digest}, its content \w+: it was changed by hand"):
        SplitFile.load(path)
    path.write_text(whole.replace("s/A/2", "s/A/1"), encoding="utf-8")
    with pytest.raises(SplitError, match="s/A/1 are in two splits"):
        SplitFile.load(path)
    path.write_text("[]")
    with pytest.raises(SplitError, match="not a split file"):
        SplitFile.load(path)
    with pytest.raises(SplitError, match="not a split file"):
        SplitFile.load(tmp_path / "gone.json")


@pytest.mark.parametrize("patient", ["", "NA", "s/A/NA", "s/A/nan", "s/A/", 3, None, float("nan")])
def test_a_split_names_every_patient(tmp_path: Path, patient: object) -> None:
    SPLIT.save(tmp_path / "split.json")
    content = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    for place in (content["patients"]["train"], content["left_out"]):
        place.append(patient)
        (tmp_path / "split.json").write_text(json.dumps(content))
        with pytest.raises(SplitError, match=r"not a split file .* names no patient; a patient is written as a text"):
            SplitFile.load(tmp_path / "split.json")
        place.pop()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_folds_hold_whole_patients_in_nearly_equal_numbers(count: int) -> None:
    members = people(20, images=3)
    found = folds(members, count)
    assert set(found) == {member.image_id for member in members}
    by_patient_: dict[str, set[int]] = defaultdict(set)
    for member in members:
        by_patient_[member.patient].add(found[member.image_id])
    assert all(len(places) == 1 for places in by_patient_.values())
    sizes = Counter(next(iter(places)) for places in by_patient_.values())
    assert set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_patients_who_share_a_picture_are_in_one_fold() -> None:
    members = [member._replace(pixels="same" if member.patient in ("s/A/1", "s/A/7") else "") for member in people(12)]
    for count in (2, 3, 4):
        found = folds(members, count)
        assert found["A1.0"] == found["A7.0"]
    with pytest.raises(SplitError, match="12 folds are wanted and there are 11 patients"):
        folds(members, 12)
