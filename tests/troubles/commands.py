"""The command line, and files of bills."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from enkash_async.sandbox import FaultKind

from troubles import Stage, Told, ran, row

HEADER = "reference,biller_id,consumer_number,max_amount"


async def complaint(stage: Stage, lines: str, *options: str, header: str = HEADER, code: int = 2) -> list[Told]:
    """Return what `enkash pay` writes to standard error about a file."""
    (file := stage.folder / "november.csv").write_text(f"{header}\n{lines}\n", encoding="utf-8")
    run = await stage.enkash("pay", str(file), *options)
    assert run.code == code, run
    assert run.err.startswith("enkash: ")
    return [run.err]


_BARE = "import sys; sys.modules['click'] = None; from enkash_async.__main__ import main; sys.exit(main(['demo']))"


@row("is not installed; in a checkout, run: pip install '.[cli]'")
async def no_extra(stage: Stage) -> Sequence[Told]:
    code, err = await ran(sys.executable, "-c", _BARE)
    assert code == 2
    return [err]


@row("may or may not have happened; do not repeat it. Look it up in two to three minutes: enkash bill get")
async def unclear(stage: Stage) -> Sequence[Told]:
    stage.sandbox.faults.add("create_bill", FaultKind.DROP_BEFORE)
    run = await stage.enkash("bill", "create", "2001", "-p", "cn=CN123456789", "--settle", "0.1")
    assert run.code == 3
    return [run.err]


@row("a spreadsheet has changed the number")
async def shortened(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,1.23E+11,500\nr-2,2001,123.00,500")


@row("a spreadsheet has made a date of it")
async def dated(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,5-Dec,500")


@row("the column was too narrow, so the number is not in the file")
async def narrow(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,####,500")


@row("a formula has failed here")
async def failed_formula(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,#N/A,500")


@row("there is a formula in it")
async def formula(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,=A2,500")


@row("stands for no value")
async def no_value(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,NULL,500")


@row("write rupees such as 2450.75")
async def ambiguous(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, 'r-1,2001,CN1,"1.250,00"')


@row("there is no column consumer_number")
async def no_column(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1", header="reference,biller_id,A/c No")


@row("is unknown, and looks like max_amount")
async def misspelt(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,500", header="reference,biller_id,consumer_number,max_amout")


@row("put a cell that holds a comma into quotes")
async def surplus(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,1,250")


@row("is already used in line")
async def used_twice(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,500\nr-1,2001,CN2,500")


@row("the result file cannot be written")
async def no_result(stage: Stage) -> Sequence[Told]:
    (folder := stage.folder / "results").mkdir()
    options = ("--result", str(folder / ("x" * 300 + ".csv")))
    return await complaint(stage, "r-1,2001,CN123456789,900000", *options, code=1)
