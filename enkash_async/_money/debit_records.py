"""The records of the debits of one EnKash host in a store: commands go in, answers come out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import attrs

from enkash_async._money import instants
from enkash_async._money.birth import BIRTH, Birth, See, see
from enkash_async._money.debit import decide
from enkash_async._money.debit_commands import Answer, Command, Here, NoteCreated, Unborn
from enkash_async._money.debit_keys import BIRTHS, Keys, birth_beside
from enkash_async._money.debit_record import DEBIT, Debit
from enkash_async._money.instants import Instant
from enkash_async.errors import StoreUnavailableError
from enkash_async.stores import (
    Cell,
    FallbackStore,
    MemoryStore,
    Store,
    act_on_each,
    act_on_each_beside,
    refuse_eviction,
)

__all__ = ["DebitRecords"]

_BIRTHS_TRIED = 3  # times that a store is found without a birth record, each time after one was written


@attrs.define
class DebitRecords:
    """Acts on the records of debits.

    Args:
        open_store: Returns the store; called on first use, so that a client that moves no money opens none.
        keys: Names the records.
        is_loopback: Whether EnKash's host is this machine, such as a sandbox.
        wall: Seconds since 1970.
    """

    _open: Callable[[], Store]
    keys: Keys
    _is_loopback: bool = False
    _wall: Callable[[], float] = time.time
    _is_fit: bool = attrs.field(default=False, init=False)

    async def store(self) -> Store:
        """Return the store, which is one that keeps what it is given.

        Raises:
            StoreUnavailableError: It is away, may throw records away, or is a memory that nobody chose.
        """
        store = self._open()
        if not self._is_fit:
            if isinstance(store, FallbackStore) and not self._is_loopback:
                raise StoreUnavailableError(
                    "no debit is confirmed that cannot be written down, and no file could be made for it: set "
                    "ENKASH_STORE_URL to sqlite:///path/to/file, redis://host or postgresql://host/database, or to "
                    "memory: where no other process pays for this account"
                )
            await refuse_eviction(store)
            self._is_fit = True
        return store

    async def act(self, commands: Mapping[str, Command]) -> dict[str, Answer]:
        """Carry out a command on the record of each bill, 1,000 at most, and return the answers.

        Raises:
            StoreUnavailableError: The store is away; commands may have been carried out or not.
            StoreError: A record cannot be used by this version.
        """
        answers: dict[str, Answer] = {}
        for _ in range(_BIRTHS_TRIED):
            answers |= await self._act({one: what for one, what in commands.items() if one not in answers})
            unborn = [one for one, answer in answers.items() if isinstance(answer, Unborn)]
            if not unborn:
                return answers
            await self._see_to_births(unborn)
            for one in unborn:
                del answers[one]
        raise StoreUnavailableError("the store forgets what is written to it")

    async def births(self, ids: Sequence[str]) -> dict[str, str]:
        """Return for each bill the id of the birth record that speaks for it; an empty one where there is none."""
        beside = {one: birth_beside(self.keys.debit(one)) for one in ids}
        cells = await (await self.store()).read(sorted(set(beside.values())))
        return {one: _id(_birth(cells[key])) for one, key in beside.items()}

    async def read(self, ids: Sequence[str]) -> dict[str, tuple[Debit | None, Instant]]:
        """Return the record of each bill, and the instant at which it was read."""
        keys = {one: self.keys.debit(one) for one in ids}
        cells = await (await self.store()).read(list(keys.values()))
        found: dict[str, tuple[Debit | None, Instant]] = {}
        for one, key in keys.items():
            value = cells[key].value
            found[one] = (None if value is None else DEBIT.codec.decode(value), self._now(cells[key]))
        return found

    async def all_births(self) -> dict[str, str]:
        """Return the id of every birth record of the store, by its key, and write those that are missing."""
        store = await self.store()
        births = await act_on_each(store, dict.fromkeys(BIRTHS, self._see()), self._seen, kind=BIRTH)
        return {key: birth.id for key, birth in births.items()}

    async def note_created(self, one: str, births: Mapping[str, str]) -> None:
        """Note that a create brought a bill forth, so that its debit is confirmed at once also in a new store.

        Args:
            one: EnKash's id of the bill.
            births: What `all_births` returned before the create was sent.
        """
        birth = births[birth_beside(self.keys.debit(one))]
        await self.act({one: NoteCreated(uuid.uuid4().hex, birth)})

    async def declare_nothing_pending(self) -> None:
        """Declare that no confirmation is under way anywhere, so that a new store counts as old at once."""
        order = See(uuid.uuid4().hex, nothing_pending=True, declares=True)
        await act_on_each(await self.store(), dict.fromkeys(BIRTHS, order), self._seen, kind=BIRTH)

    async def _act(self, commands: Mapping[str, Command]) -> dict[str, Answer]:
        keys = {one: self.keys.debit(one) for one in commands}
        answers = await act_on_each_beside(
            await self.store(),
            {keys[one]: command for one, command in commands.items()},
            sorted({birth_beside(key) for key in keys.values()}),
            self._transition,
            kind=DEBIT,
        )
        return {one: answers[key] for one, key in keys.items()}

    def _transition(
        self, key: str, cells: Mapping[str, Cell]
    ) -> Callable[[Debit | None, Command, float], tuple[Debit | None, Answer]]:
        here = Here(self._now(cells[key]), _WRITER, _birth(cells[birth_beside(key)]))
        return lambda debit, command, _: decide(debit, command, here, instants.DURATIONS)

    async def _see_to_births(self, ids: Sequence[str]) -> None:
        births = {birth_beside(self.keys.debit(one)): self._see() for one in ids}
        await act_on_each(await self.store(), births, self._seen, kind=BIRTH)

    def _see(self) -> See:
        store = self._open()
        # Nobody else confirms debits at a sandbox on this machine: its bills are as old as the memory.
        is_alone = isinstance(store, MemoryStore) and self._is_loopback
        return See(uuid.uuid4().hex, nothing_pending=is_alone or getattr(store, "nothing_pending", False))

    def _seen(self, birth: Birth | None, command: See, now: float) -> tuple[Birth, Birth]:
        return see(birth, command, Instant(now, self._wall()))

    def _now(self, cell: Cell) -> Instant:
        return Instant(cell.now, self._wall())


_WRITER = uuid.uuid4().hex  # this process, or its parent's if it was forked: it only helps people who read a record


def _birth(cell: Cell) -> Birth | None:
    return None if cell.value is None else BIRTH.codec.decode(cell.value)


def _id(birth: Birth | None) -> str:
    return "" if birth is None else birth.id
