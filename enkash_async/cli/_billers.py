"""`enkash billers`: lists billers and their categories."""

from __future__ import annotations

import click

from enkash_async._support.text import shown
from enkash_async.cli._output import json_option, note, print_json, print_table
from enkash_async.cli._run import with_client
from enkash_async.client import EnkashClient
from enkash_async.models import Biller

__all__ = ["billers"]


@click.command()
@click.option("--category", metavar="NAME", help="Only billers of this category, such as ELECTRICITY.")
@click.option("--categories", is_flag=True, help="List the categories instead.")
@json_option
def billers(category: str | None, categories: bool, as_json: bool) -> None:
    """List billers and the inputs that they need, or the categories.

    EnKash does not document these lists publicly, so their routes are unverified: ask EnKash for the routes.
    """
    if not categories:
        _show_billers(category, as_json)
    elif category is None:
        _show_categories(as_json)
    else:
        raise click.UsageError("use either --category NAME or --categories")


def _show_categories(as_json: bool) -> None:
    found = with_client(lambda client: client.billers.list_categories())
    if as_json:
        print_json(found)
    else:
        print_table(["category"], [[each.name] for each in found])


def _show_billers(category: str | None, as_json: bool) -> None:
    async def collect(client: EnkashClient) -> list[Biller]:
        return [biller async for biller in client.billers.list(category)]

    found = with_client(collect)
    if as_json:
        print_json(found)
    elif found:
        print_table(["biller_id", "name", "biller_type", "inputs"], map(_row, found))
    else:
        note("no billers")


def _row(biller: Biller) -> list[str]:
    inputs = ", ".join(f"{each.key} ({each.name})" if each.name else f"{each.key}" for each in biller.biller_params)
    return [shown(biller.biller_id), shown(biller.name), shown(biller.biller_type), inputs]
