"""Tokens, credentials and identities: what they show, and what they are equal to."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from enkash_async import Credentials, PasswordGrant, Token
from enkash_async._support.clock import instant
from enkash_async._support.secret import Secret
from enkash_async.errors import ConfigurationError
from enkash_async.tokens import (
    Identity,
    InMemoryTokenProvider,
    SharedTokenProvider,
    TokenProvider,
    TokenSource,
)

HOST = "https://enkash.example"
OURS = Credentials("demo-client", "demo-secret", "ap-team@example.com", "correct horse", "CEKDEMO123")


class TestToken:
    def test_it_reveals_itself_only_on_request(self) -> None:
        """The token shows in `reveal()` and in the header's value alone."""
        token = Token("at-hidden", 60.0)
        assert token.reveal() == "at-hidden"
        assert token.authorization == "Bearer at-hidden"

    def test_remaining_counts_from_the_request(self) -> None:
        """The seconds are negative for a dead token."""
        token = Token("at-hidden", 60.0, requested_at=1000.0)
        assert [token.remaining(now) for now in (1000.0, 1059.0, 1060.0, 1070.0)] == [60.0, 1.0, 0.0, -10.0]

    def test_now_is_the_default(self) -> None:
        """Both the instant of the request and the remaining time use the present."""
        before = instant()
        token = Token("at-hidden", 60.0)
        assert before <= token.requested_at <= instant()
        assert 59.0 < token.remaining() <= 60.0

    @pytest.mark.parametrize("value", ["", "at hidden", "at-hidden\r\nX: 1", "at-é", "at\x00", 7, None, b"at-hidden"])
    def test_one_that_no_header_can_hold_is_refused(self, value: Any) -> None:
        """A line break would add a header; the message hides the value."""
        with pytest.raises(ConfigurationError, match="access_token") as caught:
            Token(value, 60.0)
        assert "hidden" not in str(caught.value)

    def test_it_takes_a_secret(self) -> None:
        """The token accepts a `Secret` that was made where the reply was read."""
        assert Token(Secret("at-hidden"), 60.0, 0.0) == Token("at-hidden", 60.0, 0.0)

    def test_it_is_frozen(self) -> None:
        """No caller can change a token that it shares with others."""
        token = Token("at-hidden", 60.0)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            token.generation = 7  # type: ignore[misc]
        assert not hasattr(token, "__dict__")

    @pytest.mark.parametrize(
        "show", [repr, str, "{}".format, lambda token: f"{token!r:>90}", attrs.asdict, attrs.astuple]
    )
    def test_it_does_not_show_itself(self, show: Callable[[Token], object]) -> None:
        """No repr, format or debugger's view has the token."""
        shown = str(show(Token("at-hidden", 60.0, 0.0, 3)))
        assert "at-hidden" not in shown
        assert "3" in shown

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_is_not_pickled(self, protocol: int) -> None:
        """A task queue would store it."""
        with pytest.raises(TypeError, match="Store"):
            pickle.dumps(Token("at-hidden", 60.0), protocol)

    def test_a_copy_is_itself(self) -> None:
        """Copying a structure that holds a token works without pickling it."""
        token = Token("at-hidden", 60.0)
        assert copy.copy(token) is token
        assert copy.deepcopy([token])[0] is token

    def test_equal_parts_make_it_equal(self) -> None:
        """Two tokens are unequal when their secrets differ."""
        assert Token("at-one", 60.0, 0.0, 1) == Token("at-one", 60.0, 0.0, 1)
        assert Token("at-one", 60.0, 0.0, 1) != Token("at-two", 60.0, 0.0, 1)
        assert attrs.evolve(Token("at-one", 60.0, 0.0), generation=4).reveal() == "at-one"

    def test_what_is_wrong_with_a_token_is_named(self) -> None:
        """The message has the place of an invisible character, and not the token."""
        with pytest.raises(ConfigurationError) as caught:
            Token("at-hidden\u200b", 60.0)
        assert str(caught.value) == (
            "access_token holds an invisible character: character 10 is U+200B, zero width space; remove it"
        )


class TestSecret:
    @pytest.mark.parametrize("show", [repr, str, "{}".format, lambda secret: f"{[secret]}"])
    def test_it_does_not_show_itself(self, show: Callable[[Secret], str]) -> None:
        """The repr of a list that holds it is clean as well."""
        assert "***" in show(Secret("hidden"))
        assert "hidden" not in show(Secret("hidden"))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_is_not_pickled(self, protocol: int) -> None:
        """The other process has to load the secret by itself."""
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(Secret("hidden"), protocol)

    def test_it_is_compared_by_value(self) -> None:
        """A secret equals a secret of the same text and no string."""
        assert Secret("hidden é") == Secret("hidden é")
        assert Secret("hidden") != Secret("other")
        assert Secret("hidden") != "hidden"
        assert {Secret("hidden"), Secret("hidden"), Secret("other")} == {Secret("hidden"), Secret("other")}

    def test_a_copy_is_itself(self) -> None:
        """Copying a secret makes no second object that holds its text."""
        secret = Secret("hidden")
        assert copy.copy(secret) is secret
        assert copy.deepcopy([secret])[0] is secret

    def test_it_has_no_attributes_to_list(self) -> None:
        """`vars()`, which debuggers and error reporters call, shows nothing."""
        assert not hasattr(Secret("hidden"), "__dict__")


class TestCredentials:
    @pytest.mark.parametrize("show", [repr, str, "{}".format])
    def test_they_do_not_show_secrets(self, show: Callable[[Credentials], str]) -> None:
        """The repr has the two names and hides the rest."""
        shown = show(OURS)
        assert "demo-client" in shown
        assert "ap-team@example.com" in shown
        assert "demo-secret" not in shown
        assert "correct horse" not in shown

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "password", "form_client_id"])
    @pytest.mark.parametrize("value", ["", 7, b"bytes", "half of a pair: \ud83d"])
    def test_a_value_that_cannot_be_sent_is_refused(self, name: str, value: Any) -> None:
        """The message names the argument and hides the value."""
        with pytest.raises(ConfigurationError, match=f"Credentials.{name} ") as caught:
            attrs.evolve(OURS, **{name: value})
        assert "bytes" not in str(caught.value).replace("not bytes", "")
        assert "\ud83d" not in str(caught.value)

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "password"])
    def test_none_is_refused(self, name: str) -> None:
        """A missing environment variable gives None; the form's client id alone has a default."""
        with pytest.raises(ConfigurationError, match=f"Credentials.{name} "):
            attrs.evolve(OURS, **dict[str, Any]({name: None}))

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "password", "form_client_id"])
    @pytest.mark.parametrize("control", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85"])
    def test_a_control_character_is_refused_and_named(self, name: str, control: str) -> None:
        """A secret that was read with the end of its line is told before a login; the message does not show it."""
        parts = {"client_id": "c", "client_secret": "s", "username": "u", "password": "p"}
        with pytest.raises(ConfigurationError, match=rf"^Credentials.{name} holds .* \(U\+00..\) at its end") as caught:
            Credentials(**{**parts, name: f"hunter2{control}"})
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("name", ["client_id", "client_secret", "username", "form_client_id"])
    @pytest.mark.parametrize(
        ("hidden", "called"),
        [
            ("\u200b", "zero width space"),
            ("\u200c", "zero width non-joiner"),
            ("\u200d", "zero width joiner"),
            ("\u200e", "left-to-right mark"),
            ("\u200f", "right-to-left mark"),
            ("\ufeff", "byte order mark"),
            ("\u2028", "line separator"),
            ("\u2029", "paragraph separator"),
            ("\u00a0", "no-break space"),
            ("\u202f", "narrow no-break space"),
            ("\u3000", "ideographic space"),
            ("\u00ad", "soft hyphen"),
            ("\u2060", "word joiner"),
            ("\u202a", "left-to-right embedding"),
            ("\u202e", "right-to-left override"),
            ("\u2066", "left-to-right isolate"),
            ("\u2069", "pop directional isolate"),
        ],
    )
    def test_an_invisible_character_is_refused_by_its_place(self, name: str, hidden: str, called: str) -> None:
        """It was copied together with the value, and nobody can see it; the message does not show the value."""
        for value, at in ((f"hunter2x{hidden}y", 9), (f"{hidden}hunter2", 1)):
            with pytest.raises(ConfigurationError) as caught:
                attrs.evolve(OURS, **{name: value})
            assert str(caught.value) == (
                f"Credentials.{name} holds an invisible character: character {at} is U+{ord(hidden):04X}, {called}; "
                "remove it"
            )

    @pytest.mark.parametrize("hidden", ["\u200b", "\u00a0", "\ufeff", "\u202e", "\u2028"])
    def test_a_password_may_hold_an_invisible_character(self, hidden: str) -> None:
        """The user may have chosen it; if EnKash refuses the password, the error names it."""
        credentials = attrs.evolve(OURS, password=f"hun{hidden}ter2")
        assert credentials.password == f"hun{hidden}ter2"
        assert f"password holds an invisible character (character 4 is U+{ord(hidden):04X}, " in credentials.doubts()

    def test_a_colon_in_the_client_id_is_refused(self) -> None:
        """The server would read the rest as the secret; other parts may have a colon."""
        with pytest.raises(ConfigurationError, match="client_id must not contain ':'"):
            Credentials("enkash:client", "s", "u", "p")
        assert Credentials("c", "s:s", "u:u", "p:p", "f:f").password == "p:p"

    def test_the_forms_client_id_may_be_left_out(self) -> None:
        """The form has the header's client id then, as some products want it."""
        assert Credentials("c", "s", "u", "p").form_client_id is None


class TestIdentity:
    def test_it_is_the_same_in_every_worker(self) -> None:
        """Equal hosts and credentials give one identity, or workers could not share a token."""
        assert Identity.of(HOST, OURS) == Identity.of(HOST, attrs.evolve(OURS))
        assert PasswordGrant(f"{HOST}/", OURS).identity == PasswordGrant(HOST, OURS).identity == Identity.of(HOST, OURS)

    @pytest.mark.parametrize("name", ["password", "client_secret"])
    def test_a_corrected_secret_changes_the_fingerprint_alone(self, name: str) -> None:
        """The password is tried at once, under the same account's guard."""
        before, after = Identity.of(HOST, OURS), Identity.of(HOST, attrs.evolve(OURS, **{name: "corrected"}))
        assert after.fingerprint != before.fingerprint
        assert after.account == before.account

    def test_another_user_is_another_account(self) -> None:
        """Each user has a token and a guard of its own."""
        assert Identity.of(HOST, attrs.evolve(OURS, username="other")).account != Identity.of(HOST, OURS).account

    @pytest.mark.parametrize("spelling", ["JOS\u00c9@example.com", "jose\u0301@example.com ", "jos\u00e9@example.com"])
    def test_spellings_of_one_user_are_one_account(self, spelling: str) -> None:
        """EnKash locks one user, however the name is written: case, outer blanks, and how an accent is encoded."""
        written = [attrs.evolve(OURS, username=name) for name in (spelling, "jos\u00e9@example.com")]
        assert len({Identity.of(HOST, each).account for each in written}) == 1

    @pytest.mark.parametrize("name", ["client_id", "form_client_id"])
    def test_another_client_id_has_a_token_of_its_own(self, name: str) -> None:
        """EnKash locks the user, so the guard is shared."""
        other, ours = Identity.of(HOST, attrs.evolve(OURS, **{name: "other"})), Identity.of(HOST, OURS)
        assert other.client != ours.client
        assert other.account == ours.account

    def test_another_host_is_another_account(self) -> None:
        """The test host's token is not used at the live one, and equal passwords do not show as equal."""
        live, test = Identity.of(HOST, OURS), Identity.of("https://uat.enkash.example", OURS)
        assert live.account != test.account
        assert live.fingerprint != test.fingerprint

    def test_parts_do_not_run_into_each_other(self) -> None:
        """The identities of `ab` + `c` and `a` + `bc` differ."""
        whole = "abcdef"
        cuts = [(whole[:i], whole[i:]) for i in range(1, len(whole))]
        accounts = {Identity.of(HOST, Credentials(a, "s", b, "p")).account for a, b in cuts}
        prints = {Identity.of(HOST, Credentials("c", a, "u", b)).fingerprint for a, b in cuts}
        assert len(accounts) == len(prints) == len(cuts)

    def test_it_names_nobody(self) -> None:
        """Neither part has a piece of its source, because a store's keys can be seen."""
        shown = repr(Identity.of(HOST, OURS))
        for said in ("demo-client", "demo-secret", "ap-team", "example", "correct", "CEKDEMO123"):
            assert said not in shown


def test_the_parts_fit_the_protocols() -> None:
    """`isinstance` tells a user whether a class of their own is complete."""
    grant = PasswordGrant(HOST, OURS)
    parts = [grant, InMemoryTokenProvider(grant)]
    fits = [[isinstance(part, kind) for kind in (TokenSource, TokenProvider, SharedTokenProvider)] for part in parts]
    assert fits == [[True, False, False], [False, True, True]]
