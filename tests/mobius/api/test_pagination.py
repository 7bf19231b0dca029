"""Keyset paging, over a stand-in for a queryset that records what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mobius.api.pagination import Page, make_cursor, page, page_of, read_cursor
from mobius.errors import InvalidFields


@dataclass(frozen=True)
class Row:
    pk: str


@dataclass
class Rows:
    """Answers the three calls that paging makes, and counts how often rows are fetched."""

    pks: list[str]
    fetched: list[slice] = field(default_factory=list)

    def filter(self, *, pk__lt: str) -> Rows:
        return Rows([pk for pk in self.pks if pk < pk__lt], self.fetched)

    def order_by(self, name: str) -> Rows:
        assert name == "-pk"
        return Rows(sorted(self.pks, reverse=True), self.fetched)

    def __getitem__(self, asked: slice) -> list[Row]:
        self.fetched.append(asked)
        return [Row(pk) for pk in self.pks[asked]]


def rows(count: int) -> Any:
    return Rows([f"run_{n:03}" for n in range(count)])


def serialize(row: Any) -> dict[str, str]:
    return {"id": row.pk}


def test_walking_the_pages_meets_every_row_once_newest_first() -> None:
    query = {"limit": "3"}
    seen: list[str] = []
    while True:
        body = page(rows(8), query, serialize=serialize)
        seen += [item["id"] for item in body["items"]]
        if not body["has_more"]:
            break
        query["cursor"] = body["next_cursor"]

    assert seen == [f"run_{n:03}" for n in reversed(range(8))]


def test_the_last_page_has_no_cursor() -> None:
    assert page(rows(3), {"limit": "3"}, serialize=serialize) == {
        "items": [{"id": "run_002"}, {"id": "run_001"}, {"id": "run_000"}],
        "has_more": False,
    }
    assert page(rows(0), {}, serialize=serialize) == {"items": [], "has_more": False}


def test_one_fetch_of_one_row_more_than_asked() -> None:
    many = rows(50)

    body = page(many, {}, serialize=serialize)

    assert len(body["items"]) == 20
    assert many.fetched == [slice(None, 21)]


def test_pages_of_the_console_are_cut_the_same_way() -> None:
    found: Page[Any] = page_of(rows(60), {}, default_limit=50)

    assert (len(found.items), found.has_more, found.next_cursor) == (50, True, make_cursor("run_010"))


@pytest.mark.parametrize("limit", ["0", "101", "-1", "+5", " 5", "5.0", "five", "", "٥", "1e1", "9" * 5_000])
def test_a_bad_limit_is_refused_by_name(limit: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        page(rows(1), {"limit": limit}, serialize=serialize)

    assert refused.value.fields == {"limit": ["Send a whole number from 1 to 100."]}


def test_the_highest_limit_may_be_raised() -> None:
    assert len(page(rows(300), {"limit": "200"}, serialize=serialize, max_limit=200)["items"]) == 200


GARBAGE = ["!", "a", "=", "run_001", "cnVuXzAwMQ==", "cnVuXzAwMQ\n", "é", "AAAA", make_cursor("'; drop--"), "A" * 4_000]


@pytest.mark.parametrize("cursor", GARBAGE)
def test_a_cursor_that_is_not_ours_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        page(rows(1), {"cursor": cursor}, serialize=serialize)

    assert list(refused.value.fields) == ["cursor"]


def test_a_cursor_of_a_list_with_other_ids_is_refused() -> None:
    class Numbered(Rows):
        def filter(self, *, pk__lt: str) -> Rows:
            int(pk__lt)
            return self

    with pytest.raises(InvalidFields):
        page_of(Numbered([]), {"cursor": make_cursor("run_001")})  # type: ignore[arg-type]


def test_an_empty_cursor_means_the_first_page() -> None:
    assert page(rows(1), {"cursor": ""}, serialize=serialize)["items"] == [{"id": "run_000"}]


@pytest.mark.parametrize("last_id", ["run_01k9x3m5tq8d2v7w4hnc", "run_x:evt:000012", "42"])
def test_a_cursor_gives_its_id_back(last_id: str) -> None:
    assert read_cursor(make_cursor(last_id)) == last_id
