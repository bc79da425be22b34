"""A leader that lost its lease, and a store that takes nothing: no login is made for nobody."""

from __future__ import annotations

import pytest
from enkash_async.tokens._renewal import OFFER_PAUSE
from tokens.doubles import AwayStore, Clock, Login, settle
from tokens.outages import AHEAD, HOLD, HOUR, Outage

from enkash_async.errors import TokenError
from enkash_async.tokens import Claim, Identity, Lead, Token

pytestmark = pytest.mark.usefixtures("silent_asyncio")


class Forgetful(AwayStore):
    """A store that drops a lease at once, as if its leader had stopped for long.

    Attributes:
        lapses: How often it will.
    """

    def __init__(self, clock: Clock, lapses: int) -> None:
        super().__init__(clock=clock)
        self.lapses = lapses

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        claim = await super().claim(identity, owner, above=above)
        if isinstance(claim, Lead) and self.lapses:
            self.lapses -= 1
            self._account(identity).lease = None
        return claim


async def test_a_leader_that_lost_its_lease_before_it_began_asks_again(clock: Clock) -> None:
    """The leader makes no login, because another worker may be making one."""
    outage = Outage(clock, Forgetful(clock, lapses=1))
    login = Login(clock)
    await outage.ask(outage.provider(login))
    assert login.attempts == 1
    assert outage.store.calls == ["claim", "beat", "claim", "beat", "publish"]


async def test_a_leader_that_loses_every_lease_gives_up_for_a_while(clock: Clock) -> None:
    """The leader has made no login, is charged for none, and pauses."""
    store, login = Forgetful(clock, lapses=2), Login(clock)
    outage = Outage(clock, store)
    provider = outage.provider(login)
    assert type(await outage.failure(provider)) is TokenError
    assert login.attempts == 0
    assert type(await outage.failure(provider)) is TokenError
    clock.now += 5
    await outage.ask(provider)
    assert login.attempts == 1


async def test_a_store_that_takes_no_token_is_not_fed_with_logins(clock: Clock) -> None:
    """The provider makes two logins and then pauses, because the store refuses every token."""

    class Greedy(AwayStore):
        async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
            self._account(identity).lease = None
            return False

    outage = Outage(clock, Greedy(clock=clock))
    login = Login(clock)
    provider = outage.provider(login)
    for _ in range(4):
        assert type(await outage.failure(provider)) is TokenError
    assert login.attempts == 2


async def test_a_refusal_of_a_token_with_the_same_number_is_not_held_against_the_fleets(outage: Outage) -> None:
    """Two workers fetched one each in an outage; a refusal of the dropped one is ignored."""
    logins = [Login(outage.clock), Login(outage.clock)]
    providers = [outage.provider(login) for login in logins]
    for provider in providers:
        await provider.get_token()
    outage.store.leave()
    outage.clock.now += HOUR
    alone = [await outage.ask(provider) for provider in providers]
    assert alone[0].generation == alone[1].generation
    outage.store.come_back()
    for provider in providers:
        outage.clock.now += 1
        await outage.ask(provider)
    fleets = await providers[1].get_token()
    assert fleets.reveal() == alone[0].reveal()
    assert await providers[1].get_token(rejected=alone[1]) is fleets
    assert [login.attempts for login in logins] == [2, 1]


class Dawdling(AwayStore):
    """A store that carries out a claim long after its caller gave up, as a stopped server does.

    Attributes:
        late: The claims that are yet to be carried out; None carries them out at once.
    """

    late: list[tuple[Identity, str, int]] | None = None

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        if self.late is not None:
            self.late.append((identity, owner, above))
            raise self.problem
        return await super().claim(identity, owner, above=above)

    async def wake(self) -> None:
        """Do what there was to do."""
        late, self.late = self.late or [], None
        for identity, owner, above in late:
            await super().claim(identity, owner, above=above)


async def test_a_lease_of_a_claim_that_was_given_up_is_found_again(clock: Clock) -> None:
    """The worker that gave up the claim finds its own lease and goes on."""
    outage = Outage(clock, Dawdling(clock=clock))
    store = outage.store
    assert isinstance(store, Dawdling)
    login = Login(clock)
    ours, theirs = outage.provider(login), outage.provider(login)
    old = await ours.get_token()
    clock.now += HOUR - AHEAD + 1
    store.late = []
    assert await ours.get_token() is old
    await settle()
    dawdling, store.late = store.late, None
    newer = await outage.ask(theirs, rejected=old)
    clock.now += OFFER_PAUSE + 1
    assert await outage.ask(ours, rejected=old) == newer
    clock.now += HOUR - HOLD - 2
    store.late = dawdling
    await store.wake()
    store.calls.clear()
    assert (await outage.ask(ours)).generation > newer.generation
    assert store.calls == ["claim", "beat", "publish"]
