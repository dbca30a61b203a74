"""Refresh tokens as a machine: a client that loses answers gets on for ever, a thief and an owner end in revocation.

The model knows nothing of rows: it holds who was handed which token, and what the contract says of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import Unauthorized
from gateway.identity.refresh_tokens import for_account, issue, refresh
from gateway.ledger.sqlite.ledger import SqliteLedger
from tests.clocks import ManualClock
from tests.ledger_rows import account_row

ACCOUNT = "a" * 32


class Family(RuleBasedStateMachine):
    """An owner whose answers get lost, and a thief who may copy what the owner holds."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.ledger = self.runner.run(SqliteLedger.open(Path(self.folder.name) / "ledger.db", audit_key=bytes(32)))

        def begin(tx):
            tx.accounts.insert(account_row(ACCOUNT))
            return issue(tx, account_id=ACCOUNT, now=self.clock.now())

        first = self.runner.run(self.ledger.write(begin))
        self.owner: str = first
        self.thief: str | None = None
        self.parents: dict[str, str | None] = {first: None}
        self.used: set[str] = set()
        self.revoked = False

    def teardown(self):
        self.runner.run(self.ledger.close())
        self.runner.close()
        self.folder.cleanup()

    def passed_over(self, token):
        """A successor of its own, or a sibling, has been used: to use it now betrays that two parties hold tokens."""
        parent = self.parents[token]
        children = {one for one, of in self.parents.items() if of == token}
        siblings = {one for one, of in self.parents.items() if of == parent and parent is not None} - {token}
        return bool((children | siblings) & self.used)

    def renew(self, token):
        """Use a token and hold the answer to the contract; the successor, None: refused."""
        expected = "unauthorized" if self.revoked else "token_reused" if self.passed_over(token) else None
        act = refresh(self.ledger, token, now=self.clock.now(), check=for_account())
        if expected is not None:
            with pytest.raises(Unauthorized) as refusal:
                self.runner.run(act)
            assert refusal.value.code == expected
            self.revoked = True
            return None
        rotated = self.runner.run(act)
        assert rotated.token not in self.parents
        self.used.add(token)
        self.parents[rotated.token] = token
        return rotated.token

    @rule()
    def the_owner_renews(self):
        self.owner = self.renew(self.owner) or self.owner

    @rule()
    def the_owner_renews_and_the_answer_gets_lost(self):
        self.renew(self.owner)

    @rule()
    def a_thief_copies_what_the_owner_holds(self):
        self.thief = self.owner

    @precondition(lambda self: self.thief is not None)
    @rule(lost=st.booleans())
    def the_thief_renews(self, lost):
        successor = self.renew(self.thief)
        if successor is not None and not lost:
            self.thief = successor

    @rule(seconds=st.integers(0, 3600))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        if not self.revoked:
            # Within the hour somebody always renews: the end by age has a test of its own.
            self.owner = self.renew(self.owner) or self.owner

    @precondition(lambda self: len(self.parents) > 1)
    @rule(data=st.data())
    def an_old_token_turns_up(self, data):
        """A backup, a log of a proxy: any token that was ever handed out."""
        token = data.draw(st.sampled_from(list(self.parents)))
        before = self.revoked
        self.renew(token)
        if not before:
            self.thief = self.thief or token

    @invariant()
    def without_a_thief_the_owner_is_never_locked_out(self):
        if self.thief is None:
            assert not self.revoked


TestFamily = Family.TestCase
TestFamily.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class Rivals(RuleBasedStateMachine):
    """Once both have renewed on their own, the next one who comes ends the family for both."""

    def __init__(self):
        super().__init__()
        self.machine = Family()

    def teardown(self):
        self.machine.teardown()

    @rule(honest=st.integers(0, 5), lost=st.integers(0, 3), first=st.booleans())
    def an_owner_and_a_thief_who_both_go_on_end_in_revocation(self, honest, lost, first):
        family = self.machine
        if family.revoked:
            return
        for _ in range(honest):
            family.the_owner_renews()
        family.a_thief_copies_what_the_owner_holds()
        for _ in range(lost):
            family.the_owner_renews_and_the_answer_gets_lost()
        turns = [family.the_owner_renews, lambda: family.the_thief_renews(lost=False)]
        for turn in (turns if first else turns[::-1]) * 2:
            turn()
        assert family.revoked


TestRivals = Rivals.TestCase
TestRivals.settings = settings(max_examples=25, stateful_step_count=2, deadline=None)
