"""The topic index agrees with the definition of matching, and forgets who has left."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.subscriptions import SubscriptionIndex
from broker.topics import matches

LEVELS = ["", "a", "b", "$x"]
TOPICS = ["/".join(levels) for depth in (1, 2, 3) for levels in product(LEVELS, repeat=depth) if levels != ("",)]
FILTERS = [
    *("/".join(levels) for depth in (1, 2, 3) for levels in product([*LEVELS, "+"], repeat=depth) if levels != ("",)),
    *("/".join((*levels, "#")) for depth in (0, 1, 2) for levels in product([*LEVELS, "+"], repeat=depth)),
]
# Each subscriber has one user for as long as it lives; two may be the same user's, and None is a guest.
USER_OF = {"phone": "ann", "laptop": "ann", "till": "bob", "passer-by": None, "visitor": None}


class TheIndexAgreesWithBruteForce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index: SubscriptionIndex[str] = SubscriptionIndex()
        self.known: dict[tuple[str, str], int] = {}

    @rule(topic_filter=st.sampled_from(FILTERS), who=st.sampled_from(sorted(USER_OF)), qos=st.integers(0, 1))
    def subscribe(self, topic_filter: str, who: str, qos: int) -> None:
        self.index.add(topic_filter, who, USER_OF[who], qos)
        self.known[topic_filter, who] = qos

    @rule(topic_filter=st.sampled_from(FILTERS), who=st.sampled_from(sorted(USER_OF)))
    def unsubscribe_perhaps_from_what_was_never_subscribed_to(self, topic_filter: str, who: str) -> None:
        self.index.remove(topic_filter, who, USER_OF[who])
        self.known.pop((topic_filter, who), None)

    @rule(who=st.sampled_from(sorted(USER_OF)))
    def leave(self, who: str) -> None:
        for topic_filter, other in list(self.known):
            if other == who:
                self.unsubscribe_perhaps_from_what_was_never_subscribed_to(topic_filter, who)

    @rule(topic=st.sampled_from(TOPICS), users=st.none() | st.sets(st.sampled_from(["ann", "bob", None, "eve"])))
    def ask_for_the_subscribers(self, topic: str, users: set[str | None] | None) -> None:
        expected: dict[str, int] = {}
        for (topic_filter, who), qos in self.known.items():
            if matches(topic_filter, topic) and (users is None or USER_OF[who] in users):
                expected[who] = max(qos, expected.get(who, 0))
        assert self.index.subscribers(topic, users) == expected

    @invariant()
    def what_it_lists_is_what_was_subscribed_to(self) -> None:
        listed = {(f, who): qos for f, subscribers in self.index.filters().items() for who, qos in subscribers.items()}
        assert listed == self.known

    def teardown(self) -> None:
        for topic_filter, who in list(self.known):
            self.index.remove(topic_filter, who, USER_OF[who])
        assert_empty(self.index)


TestTheIndexAgreesWithBruteForce = TheIndexAgreesWithBruteForce.TestCase


@given(st.lists(st.tuples(st.sampled_from(FILTERS), st.sampled_from(sorted(USER_OF))), unique=True), st.randoms())
def test_no_key_is_left_after_all_have_left_in_any_order(subscribed: list[tuple[str, str]], random: object) -> None:
    index: SubscriptionIndex[str] = SubscriptionIndex()
    for topic_filter, who in subscribed:
        index.add(topic_filter, who, USER_OF[who], 0)
    random.shuffle(subscribed)  # type: ignore[attr-defined]
    for topic_filter, who in subscribed:
        index.remove(topic_filter, who, USER_OF[who])
    assert_empty(index)


@given(st.sampled_from(FILTERS), st.sampled_from(TOPICS))
def test_one_filter_finds_exactly_the_topics_that_it_matches(topic_filter: str, topic: str) -> None:
    index: SubscriptionIndex[str] = SubscriptionIndex()
    index.add(topic_filter, "phone", "ann", 1)
    assert index.subscribers(topic) == ({"phone": 1} if matches(topic_filter, topic) else {})


def test_looking_for_subscribers_changes_nothing_of_the_subscriptions() -> None:
    index: SubscriptionIndex[str] = SubscriptionIndex()
    index.add("a", "phone", "ann", 0)
    index.add("+", "phone", "ann", 1)
    assert index.subscribers("a") == {"phone": 1}
    assert index.filters() == {"a": {"phone": 0}, "+": {"phone": 1}}


def assert_empty(index: SubscriptionIndex[str]) -> None:
    assert index.filters() == {}
    assert index._root.below == {}
    assert index._root.users == {}
