"""Checklists hold what the records of a study tell, and nothing else."""

import json
from pathlib import Path

import pytest
from command_inside import called

import fulora as fu
from fulora.data.image_set import ImageSet
from fulora.report.checklist import AUTHOR_HEAD, Fact, fill, read_standard, standards, to_html, to_markdown
from fulora.stage import MissingInputError


def test_claim_has_44_items_in_order() -> None:
    standard = read_standard("claim")
    assert [item.number for item in standard.items] == list(range(1, 45))
    with pytest.raises(ValueError, match=r"consort: no such reporting standard; there are .*claim"):
        read_standard("consort")


@pytest.mark.parametrize("name", standards())
def test_without_records_everything_is_the_authors(name: str) -> None:
    empty = fill(read_standard(name), {})
    assert all(one.author and one.fact is None for one in empty.items)
    assert f"answer 0, 0 in part; {len(empty.items)} are the author's" in empty.summary


def test_a_fact_is_shown_as_text() -> None:
    filled = fill(read_standard("claim"), {"sources": Fact("a<b> | c", "curate-1")})
    assert "<td>a&lt;b&gt; | c<td>curate-1<td>" in to_html(filled)
    assert "a&lt;b&gt; \\| c" in to_markdown(filled)
    assert AUTHOR_HEAD in to_markdown(filled)
    assert "answer 1, 0 in part; 43 are" in filled.summary


@pytest.mark.slow
def test_a_study_fills_in_what_its_records_hold(tmp_path: Path) -> None:
    run = called("run", "smoke", "segmentation=null", "clip_arms={}", "few_shot=null", "--work", tmp_path / "work")
    assert run.code == 0, run.stderr
    (report,) = (tmp_path / "work").glob("report-*")
    filled = fu.checklist(report)
    facts = {one.item.number: one.fact for one in filled.checklist.items if one.fact}
    (curated,) = (tmp_path / "work").glob("curate-*")
    rows = ImageSet(curated, "").rows()
    patients = len({row.patient_key for row in rows})
    assert facts[7].text == f"phantoms {len(rows)} images of {patients} patients"
    assert facts[7].where == curated.name
    assert "C, which it is not trained on" in facts[33].text
    assert 32 not in facts, "no site is both trained and tested on"
    record = json.loads((report / "stage.json").read_text(encoding="utf-8"))
    assert f"torch {record['versions']['torch']}" in facts[23].text
    assert "declared before the run: hybrid minus real in accuracy" in facts[4].text
    assert {2, 3, 44}.isdisjoint(facts)
    files = [tmp_path / name for name in ("claim.html", "claim.md", "claim.docx")]
    done = called("report", report / "report.html", *(part for file in files for part in ("--out", file)))
    assert done.code == 0, done.stderr
    assert filled.checklist.summary in done.stdout
    docx = pytest.importorskip("docx")
    cells = [row.cells[3].text for row in docx.Document(str(files[2])).tables[0].rows]
    assert cells[7] == facts[7].text
    assert facts[7].text in files[0].read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"claim.pdf: a checklist is written as .html, .md, .docx"):
        filled.write(tmp_path / "claim.pdf")
    with pytest.raises(ValueError, match="is not the report of a study"):
        fu.checklist(curated)
    with pytest.raises(MissingInputError, match="is not a finished artifact"):
        fu.checklist(tmp_path)
