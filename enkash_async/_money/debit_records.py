"""The records of debits in the store: one call reads and swaps the records of many bills."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import attrs

from enkash_async._money import instants
from enkash_async._money.birth import BIRTH, Birth, See, see
from enkash_async._money.creation import CREATION, Creation, Found, found_in, note
from enkash_async._money.creation import Command as CreateCommand
from enkash_async._money.debit import decide
from enkash_async._money.debit_commands import Answer, Command, Here, NoteCreated, Unborn
from enkash_async._money.debit_keys import BIRTHS, Keys, birth_beside
from enkash_async._money.debit_record import DEBIT, Debit
from enkash_async._money.instants import Durations, Instant
from enkash_async._support.clock import wall
from enkash_async._support.under_way import UnderWay
from enkash_async.errors import StoreUnavailableError
from enkash_async.stores import (
    Cell,
    MemoryStore,
    Store,
    act,
    act_on_each,
    act_on_each_beside,
    refuse_forgetting,
)
from enkash_async.stores.actions import Transition

__all__ = ["DebitRecords", "Shown"]

_AT_A_TIME = 1_000  # records in one call; a store accepts 1,000 records and their birth records
_TRIES = 5  # tries of a command; before each further try, the missing birth record is written


@attrs.frozen
class Shown:
    """A record as stored.

    Attributes:
        debit: The record, or None if there is none.
        age: Seconds since the record's instant: the smaller of its ages on the two clocks.
        is_settled: Whether the window is over, so that no claim or confirmation of this record can be in flight.
    """

    debit: Debit | None
    age: float = 0.0
    is_settled: bool = False


class DebitRecords:
    """Carries out commands on the records of bills at one EnKash host.

    Raises from every method:
        StoreUnavailableError: The store cannot be reached, or is not safe for payments; nothing may be sent.
        StoreError: This version cannot read a record, or other processes changed it before each attempt to write.

    Args:
        open_store: Returns the store, shared by all processes that could confirm the same bills. It is called on first
            use, so that a client that moves no money opens no store.
        keys: Makes the keys of records at the host.
        is_loopback: Whether the host is this machine, as for a sandbox.
        wall: Returns the time of the wall clock, in seconds.
        durations: Shorter durations for tests; None takes the normal ones.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        keys: Keys,
        *,
        is_loopback: bool = False,
        wall: Callable[[], float] = wall,
        durations: Durations | None = None,
    ) -> None:
        self.durations: Durations = instants.DURATIONS if durations is None else durations
        self.acts: UnderWay = UnderWay()
        self._open = open_store
        self._keys = keys
        self._is_loopback = is_loopback
        self._wall = wall
        self._is_checked = False
        self._known: set[str] = set()  # keys of birth records that this process has seen

    async def act(self, commands: Mapping[str, Command]) -> dict[str, Answer]:
        """Carry out a command on the record of each bill, and return the answers by the bills' ids.

        Each record changes independently of the others. After an error, some commands may have been carried out; the
        caller may safely repeat all of them.
        """
        await self._check()
        answers: dict[str, Answer] = {}
        ids = list(commands)
        for start in range(0, len(ids), _AT_A_TIME):
            portion = {one: commands[one] for one in ids[start : start + _AT_A_TIME]}
            answers |= await self._acted(portion)
        return answers

    async def _acted(self, commands: Mapping[str, Command]) -> dict[str, Answer]:
        names: dict[str, str] = {}
        for one in commands:
            names.setdefault(self._keys.debit(one), one)
        if len(names) < len(commands):  # two spellings of an id share a record, which changes once at a time
            first = {one: commands[one] for one in names.values()}
            others = {one: command for one, command in commands.items() if one not in first}
            return await self._acted(first) | await self._acted(others)
        todo = {key: commands[one] for key, one in names.items()}
        answers: dict[str, Answer] = {}
        for _ in range(_TRIES):
            beside = sorted({birth_beside(key) for key in todo})
            got = await act_on_each_beside(self._open(), todo, beside, self._transition, kind=DEBIT)
            answers |= {names[key]: answer for key, answer in got.items() if not isinstance(answer, Unborn)}
            todo = {key: command for key, command in todo.items() if isinstance(got[key], Unborn)}
            if not todo:
                return {one: answers[one] for one in commands}
            await self._see(sorted({birth_beside(key) for key in todo}))
        raise StoreUnavailableError("the store forgets its birth record again and again; nothing was sent")

    def _transition(self, key: str, cells: Mapping[str, Cell]) -> Transition[Debit, Command, Answer]:
        beside = birth_beside(key)
        birth = _birth(cells[beside].value)
        if birth is not None:
            self._known.add(beside)

        def transition(debit: Debit | None, command: Command, now: float) -> tuple[Debit | None, Answer]:
            return decide(debit, command, Here(Instant(now, self._wall()), _writer(), birth), self.durations)

        return transition

    async def births(self) -> dict[str, str]:
        """Write missing birth records, and return the id of each by its key. Call this before a create is sent."""
        await self._check()
        return {key: birth.id for key, birth in (await self._see(BIRTHS)).items()}

    async def births_of(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return, for each bill, the id of the store's current birth record; None if the record is gone."""
        keys = {one: birth_beside(self._keys.debit(one)) for one in ids}
        cells = await self._open().read(sorted(set(keys.values())))
        births = {key: _birth(cell.value) for key, cell in cells.items()}
        return {one: None if (birth := births[key]) is None else birth.id for one, key in keys.items()}

    async def declare_nothing_pending(self) -> None:
        """Declare that no confirmation is in flight anywhere, so that the store counts as old at once."""
        await self._check()
        await self._see(BIRTHS, declares=True)

    async def _see(self, keys: Sequence[str], *, declares: bool = False) -> dict[str, Birth]:
        commands = {key: See(uuid.uuid4().hex, self._may_declare(key), declares) for key in keys}
        births = await act_on_each(self._open(), commands, self._seen, kind=BIRTH)
        self._known |= births.keys()
        return births

    def _may_declare(self, key: str) -> bool:
        """Whether a new store may count as old; False if the store had another birth record before in this process."""
        store = self._open()
        # Only this process confirms debits at its local sandbox, so its memory store knows of everything that was sent.
        is_alone = self._is_loopback and isinstance(store, MemoryStore)
        return (is_alone or bool(getattr(store, "nothing_pending", False))) and key not in self._known

    def _seen(self, birth: Birth | None, command: See, now: float) -> tuple[Birth, Birth]:
        return see(birth, command, Instant(now, self._wall()))

    async def show(self, ids: Sequence[str]) -> dict[str, Shown]:
        """Return the stored records of bills, without changing them."""
        keys = {one: self._keys.debit(one) for one in ids}
        shown: dict[str, Shown] = {}
        for start in range(0, len(ids), _AT_A_TIME):
            portion = ids[start : start + _AT_A_TIME]
            cells = await self._open().read(list(dict.fromkeys(keys[one] for one in portion)))
            shown |= {one: self._shown(cells[keys[one]]) for one in portion}
        return shown

    def _shown(self, cell: Cell) -> Shown:
        if cell.value is None:
            return Shown(None)
        debit, now = DEBIT.codec.decode(cell.value), Instant(cell.now, self._wall())
        return Shown(debit, debit.at.age(now), debit.at.left(self.durations.settled_after, now) <= 0)

    async def note_create(self, reference_id: str, command: CreateCommand) -> Found:
        """Carry out a command on the note of a reference, and return what was known of the reference before."""
        await self._check()
        return await act(self._open(), self._keys.create(reference_id), self._noted, command, kind=CREATION)

    def _noted(self, creation: Creation | None, command: CreateCommand, now: float) -> tuple[Creation | None, Found]:
        here = Instant(now, self._wall())
        after, found = note(creation, command, here)
        return after, found_in(found, command, here, self.durations)

    async def note_bills(self, by: str, ids: Sequence[str], births: Mapping[str, str]) -> None:
        """Note bills that EnKash has just created. Code 38 (the reference was used before) does not count as created.

        Args:
            by: Id of the step that created the bills.
            ids: EnKash's ids of the bills.
            births: The result of `births`, called before the first of these creates was sent.
        """
        commands = {one: NoteCreated(by, births[birth_beside(self._keys.debit(one))]) for one in ids}
        await self.act(commands)

    async def _check(self) -> None:
        """Refuse a store that is not safe for payments: one that could forget a debit."""
        if self._is_checked:
            return
        await refuse_forgetting(
            self._open(),
            need="debits need a store that outlives this process",
            memory_if="no other process pays for this account",
            is_loopback=self._is_loopback,
        )
        self._is_checked = True


def _writer() -> str:
    """Return the name of this process; computed at each call, because a fork changes the process id."""
    return f"{platform.node()}:{os.getpid()}"


@lru_cache(2 * len(BIRTHS))  # cached, because one call decodes the same few birth records for many debits
def _birth(value: bytes | None) -> Birth | None:
    return None if value is None else BIRTH.codec.decode(value)
