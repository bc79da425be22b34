"""Tokens, credentials and identities: what they show, and what they are equal to."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from enkash_async import Credentials, PasswordGrant, Token
from enkash_async._support.secret import Secret
from enkash_async.errors import ConfigurationError
from enkash_async.tokens import (
    Identity,
    InMemoryTokenProvider,
    MemoryTokenStore,
    TokenProvider,
    TokenSource,
    TokenStore,
)

HOST = "https://enkash.example"
OURS = Credentials("demo-client", "demo-secret", "ap-team@example.com", "correct horse", "CEKDEMO123")


class TestToken:
    def test_it_reveals_itself_only_on_request(self) -> None:
        """Through `reveal()` and as the value of a header."""
        token = Token("at-hidden", 60.0)
        assert token.reveal() == "at-hidden"
        assert token.authorization == "Bearer at-hidden"

    def test_remaining_counts_from_the_request(self) -> None:
        """On the monotonic clock, and below zero once it is dead."""
        token = Token("at-hidden", 60.0, requested_at=1000.0)
        assert [token.remaining(now) for now in (1000.0, 1059.0, 1060.0, 1070.0)] == [60.0, 1.0, 0.0, -10.0]

    def test_now_is_the_default(self) -> None:
        """Both for the instant of the request and for what remains."""
        before = time.monotonic()
        token = Token("at-hidden", 60.0)
        assert before <= token.requested_at <= time.monotonic()
        assert 59.0 < token.remaining() <= 60.0

    @pytest.mark.parametrize("value", ["", "at hidden", "at-hidden\r\nX: 1", "at-é", "at\x00", 7, None, b"at-hidden"])
    def test_one_that_no_header_can_hold_is_refused(self, value: Any) -> None:
        """A line break would make a header of its own; the value is not shown."""
        with pytest.raises(ConfigurationError, match="access_token") as caught:
            Token(value, 60.0)
        assert "hidden" not in str(caught.value)

    def test_it_takes_a_secret(self) -> None:
        """One that was read where the reply was."""
        assert Token(Secret("at-hidden"), 60.0, 0.0) == Token("at-hidden", 60.0, 0.0)

    def test_it_is_frozen(self) -> None:
        """Callers share it."""
        token = Token("at-hidden", 60.0)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            token.generation = 7  # type: ignore[misc]
        assert not hasattr(token, "__dict__")

    @pytest.mark.parametrize(
        "show", [repr, str, "{}".format, lambda token: f"{token!r:>90}", attrs.asdict, attrs.astuple]
    )
    def test_it_does_not_show_itself(self, show: Callable[[Token], object]) -> None:
        """Whatever a logger or a debugger does with it."""
        shown = str(show(Token("at-hidden", 60.0, 0.0, 3)))
        assert "at-hidden" not in shown
        assert "3" in shown

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_is_not_pickled(self, protocol: int) -> None:
        """A task queue would write it down."""
        with pytest.raises(TypeError, match="TokenStore"):
            pickle.dumps(Token("at-hidden", 60.0), protocol)

    def test_a_copy_is_itself(self) -> None:
        """Copying a structure that holds one works, and nothing needs pickling for it."""
        token = Token("at-hidden", 60.0)
        assert copy.copy(token) is token
        assert copy.deepcopy([token])[0] is token

    def test_equal_parts_make_it_equal(self) -> None:
        """The secret is one of them."""
        assert Token("at-one", 60.0, 0.0, 1) == Token("at-one", 60.0, 0.0, 1)
        assert Token("at-one", 60.0, 0.0, 1) != Token("at-two", 60.0, 0.0, 1)
        assert attrs.evolve(Token("at-one", 60.0, 0.0), generation=4).reveal() == "at-one"


class TestSecret:
    @pytest.mark.parametrize("show", [repr, str, "{}".format, lambda secret: f"{[secret]}"])
    def test_it_does_not_show_itself(self, show: Callable[[Secret], str]) -> None:
        """Nor does a list that holds it."""
        assert "***" in show(Secret("hidden"))
        assert "hidden" not in show(Secret("hidden"))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_is_not_pickled(self, protocol: int) -> None:
        """It is loaded again where it is needed."""
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(Secret("hidden"), protocol)

    def test_it_is_compared_by_value(self) -> None:
        """With other secrets only; a string is not one."""
        assert Secret("hidden é") == Secret("hidden é")
        assert Secret("hidden") != Secret("other")
        assert Secret("hidden") != "hidden"
        assert {Secret("hidden"), Secret("hidden"), Secret("other")} == {Secret("hidden"), Secret("other")}

    def test_a_copy_is_itself(self) -> None:
        """No second one comes about."""
        secret = Secret("hidden")
        assert copy.copy(secret) is secret
        assert copy.deepcopy([secret])[0] is secret

    def test_it_has_no_attributes_to_list(self) -> None:
        """`vars()` is what debuggers and error reporters call."""
        assert not hasattr(Secret("hidden"), "__dict__")


class TestCredentials:
    @pytest.mark.parametrize("show", [repr, str, "{}".format])
    def test_they_do_not_show_secrets(self, show: Callable[[Credentials], str]) -> None:
        """The two names may be seen."""
        shown = show(OURS)
        assert "demo-client" in shown
        assert "ap-team@example.com" in shown
        assert "demo-secret" not in shown
        assert "correct horse" not in shown

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "password", "form_client_id"])
    @pytest.mark.parametrize("value", ["", 7, b"bytes", "half of a pair: \ud83d"])
    def test_a_value_that_cannot_be_sent_is_refused(self, name: str, value: Any) -> None:
        """With the name of the argument, without its value."""
        with pytest.raises(ConfigurationError, match=f"Credentials.{name} ") as caught:
            attrs.evolve(OURS, **{name: value})
        assert "bytes" not in str(caught.value).replace("not bytes", "")
        assert "\ud83d" not in str(caught.value)

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "password"])
    def test_none_is_refused(self, name: str) -> None:
        """It is what a missing environment variable gives; only the form's client id has a default."""
        with pytest.raises(ConfigurationError, match=f"Credentials.{name} "):
            attrs.evolve(OURS, **dict[str, Any]({name: None}))

    def test_a_colon_in_the_client_id_is_refused(self) -> None:
        """The server would read what follows it as the secret; in the other parts it is fine."""
        with pytest.raises(ConfigurationError, match="client_id must not contain ':'"):
            Credentials("enkash:client", "s", "u", "p")
        assert Credentials("c", "s:s", "u:u", "p:p", "f:f").password == "p:p"

    def test_the_forms_client_id_may_be_left_out(self) -> None:
        """Some products send the one of the header."""
        assert Credentials("c", "s", "u", "p").form_client_id is None


class TestIdentity:
    def test_it_is_the_same_in_every_worker(self) -> None:
        """Otherwise they could share nothing."""
        assert Identity.of(HOST, OURS) == Identity.of(HOST, attrs.evolve(OURS))
        assert PasswordGrant(f"{HOST}/", OURS).identity == PasswordGrant(HOST, OURS).identity == Identity.of(HOST, OURS)

    @pytest.mark.parametrize("name", ["password", "client_secret"])
    def test_a_corrected_secret_changes_the_fingerprint_alone(self, name: str) -> None:
        """It is tried at once, and still under the guard of the same account."""
        before, after = Identity.of(HOST, OURS), Identity.of(HOST, attrs.evolve(OURS, **{name: "corrected"}))
        assert after.fingerprint != before.fingerprint
        assert after.account == before.account

    @pytest.mark.parametrize("name", ["client_id", "username", "form_client_id"])
    def test_another_user_is_another_account(self, name: str) -> None:
        """Each has its own token and its own guard."""
        assert Identity.of(HOST, attrs.evolve(OURS, **{name: "other"})).account != Identity.of(HOST, OURS).account

    def test_another_host_is_another_account(self) -> None:
        """A token of the test host is nothing to the live one, and equal passwords do not show as equal."""
        live, test = Identity.of(HOST, OURS), Identity.of("https://uat.enkash.example", OURS)
        assert live.account != test.account
        assert live.fingerprint != test.fingerprint

    def test_parts_do_not_run_into_each_other(self) -> None:
        """`ab` + `c` is not `a` + `bc`."""
        whole = "abcdef"
        cuts = [(whole[:i], whole[i:]) for i in range(1, len(whole))]
        accounts = {Identity.of(HOST, Credentials(a, "s", b, "p")).account for a, b in cuts}
        prints = {Identity.of(HOST, Credentials("c", a, "u", b)).fingerprint for a, b in cuts}
        assert len(accounts) == len(prints) == len(cuts)

    def test_it_names_nobody(self) -> None:
        """Neither part holds a piece of what it was made from; a store's keys may be seen."""
        shown = repr(Identity.of(HOST, OURS))
        for said in ("demo-client", "demo-secret", "ap-team", "example", "correct", "CEKDEMO123"):
            assert said not in shown


def test_the_parts_fit_the_protocols() -> None:
    """`isinstance` tells a user what is missing from a class of their own."""
    grant = PasswordGrant(HOST, OURS)
    parts = [grant, MemoryTokenStore(), InMemoryTokenProvider(grant)]
    fits = [[isinstance(part, kind) for kind in (TokenSource, TokenStore, TokenProvider)] for part in parts]
    assert fits == [[True, False, False], [False, True, False], [False, False, True]]
