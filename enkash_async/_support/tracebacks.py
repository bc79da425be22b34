"""Removes tracebacks from errors that live as long as a result."""

from __future__ import annotations

from typing import TypeVar

from enkash_async.errors import EnkashError

__all__ = ["without_frames"]

E = TypeVar("E", bound=EnkashError)


def without_frames(error: E) -> E:
    """Remove the tracebacks of our errors from an error and its causes, and return the error.

    A traceback holds the frames that the error has passed, and these hold what the call worked with: the bills that it
    read, its replies, its attempts. An error in a result would keep all of it as long as the result lives. A cause that
    is no error of ours, such as one of the user's own code, keeps its traceback, which shows where it was raised.
    """
    todo: list[BaseException | None] = [error]
    done: set[int] = set()
    while todo:
        one = todo.pop()
        if one is not None and id(one) not in done:
            done.add(id(one))
            if isinstance(one, EnkashError):
                one.__traceback__ = None
            todo += (one.__cause__, one.__context__)
    return error
