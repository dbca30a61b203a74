"""Which route an upload takes (gateway/delivery/routes.py), for every rule and every upload."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.routes import DeliveryRoute, FileKind, RouteConditions, Submission, choose, is_decided

WORDS = st.sampled_from(["CT", "ct ", "MR", "", "XA"])
SOME = st.lists(st.sampled_from(["CT", "MR", "XA"]), max_size=2).map(tuple)
ENDPOINTS = st.sampled_from(["a", "b", "c"])

terms = st.builds(
    RouteConditions,
    modality=SOME,
    station=SOME,
    account=st.lists(st.sampled_from(["ed", "ward"]), max_size=1).map(tuple),
    declared=st.dictionaries(st.sampled_from(["priority"]), st.sampled_from(["stat", "routine"]), max_size=1),
    min_size_bytes=st.integers(0, 5),
    max_size_bytes=st.one_of(st.none(), st.integers(0, 9)),
)
routes = st.lists(
    st.builds(
        lambda when, to, fallback: (when, tuple(dict.fromkeys(to)), tuple(dict.fromkeys(fallback))),
        terms,
        st.lists(ENDPOINTS, min_size=1, max_size=3),
        st.lists(ENDPOINTS, max_size=2),
    ),
    max_size=5,
).map(
    lambda made: [DeliveryRoute(number, when, to, to, fallback) for number, (when, to, fallback) in enumerate(made, 1)]
)
uploads = st.builds(
    Submission,
    files=st.lists(st.builds(FileKind, WORDS, st.just("1.2"), WORDS), max_size=3),
    account=st.sampled_from(["ed", "ward", ""]),
    declared=st.dictionaries(st.sampled_from(["priority", "modality"]), st.sampled_from(["STAT", "routine"])),
    size_bytes=st.integers(0, 10),
)
allowed = st.one_of(st.none(), st.sets(ENDPOINTS))


@given(routes, uploads, allowed)
def test_the_route_is_the_first_that_fits_and_leads_nowhere_that_is_forbidden(routes, upload, allowed):
    route = choose(routes, upload, allowed)
    fitting = [one for one in routes if one.when.fit(upload) and (allowed is None or one.reach <= allowed)]
    assert route == (fitting[0] if fitting else None)


@given(terms, uploads)
def test_what_is_said_of_files_is_true_of_each_of_them_alone(when, upload):
    if upload.files and when.fit(upload):
        for one in upload.files:
            alone = Submission([one], upload.account, upload.declared, upload.size_bytes)
            assert when.fit(alone)


@given(terms, uploads, st.builds(FileKind, WORDS, st.just("1.2"), WORDS))
def test_a_further_file_never_makes_a_rule_fit_that_asks_of_files(when, upload, more):
    larger = Submission([*upload.files, more], upload.account, upload.declared, upload.size_bytes)
    if upload.files and when.fit(larger):
        assert when.fit(upload)


@given(uploads)
def test_a_rule_that_asks_nothing_fits_everything(upload):
    assert RouteConditions().fit(upload)


def test_values_are_compared_without_case_and_padding():
    upload = Submission([FileKind("ct ", "1.2", " Room 1")], "ed", {"priority": "STAT"}, 1)
    assert RouteConditions(modality=("CT",), station=("room 1",), declared={"priority": "stat"}).fit(upload)


def test_of_no_file_nothing_can_be_said():
    assert not RouteConditions(modality=("CT",)).fit(Submission([], "ed", {}, 0))


@given(routes, uploads, st.one_of(st.none(), st.sets(ENDPOINTS)))
def test_what_is_decided_before_the_files_are_there_is_what_is_chosen_then(rules, upload, allowed):
    decided, route = is_decided(rules, upload.account, upload.declared, allowed)
    if decided:
        assert route == choose(rules, upload, allowed)
