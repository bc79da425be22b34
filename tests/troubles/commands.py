"""The command line, and files of bills."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from enkash_async.sandbox import FaultKind

from troubles import Stage, Told, ran, row

HEADER = "reference,biller_id,consumer_number,max_amount"


async def complaint(stage: Stage, lines: str, *options: str, header: str = HEADER, code: int = 2) -> list[Told]:
    """Return what `enkash pay` writes to standard error about a file."""
    return await complaint_about(stage, f"{header}\n{lines}\n".encode(), *options, code=code)


async def complaint_about(stage: Stage, data: bytes, *options: str, code: int = 2) -> list[Told]:
    """Return what `enkash pay` writes to standard error about the bytes of a file."""
    (file := stage.folder / "november.csv").write_bytes(data)
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


@row("a spreadsheet has made a time of it")
async def timed(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,12:30:00,500")


@row("a part of the number is masked")
async def masked(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,XXXXXX1234,500")


@row("there is an invisible character in it (U+…)")
async def invisible(stage: Stage) -> Sequence[Told]:
    return [
        *await complaint(stage, "r-1,2001,12\u200b34,500"),
        *await complaint(stage, "r\u00a01,2001,1234,500"),
        *await complaint(stage, "r-1,2001,1234,\u200e500"),
    ]


@row("a character was lost in an earlier export")
async def lost(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,12\ufffd34,500")


@row("there is neither a letter nor a digit in it")
async def a_dash(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,\u2014,500")


@row("there is a character in it that is not ASCII (U+…)")
async def foreign(stage: Stage) -> Sequence[Told]:
    cells = ("\uff11\uff12\uff13\uff14", "12\u201334", "\u04101234")
    return [said for cell in cells for said in await complaint(stage, f"r-1,2001,{cell},500")]


@row("there is a quotation mark in it")
async def quoted(stage: Stage) -> Sequence[Told]:
    return [*await complaint(stage, "r-1,2001,'0012,500"), *await complaint(stage, "r-1,2001,\u201c0012\u201d,500")]


@row("write EnKash's number of the biller, such as 2001")
async def no_biller(stage: Stage) -> Sequence[Told]:
    return [*await complaint(stage, "r-1,MSEB,CN1,500"), *await complaint(stage, "r-1,2001.0,CN1,500")]


@row("is empty: write the consumer number")
async def no_consumer(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,,500")


@row("this line looks like a total, not like a bill")
async def total(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,500\n,1,Grand Total,500")


@row("this line names neither biller nor consumer")
async def remark(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,500\nPrepared by accounts,,,")


@row("this line repeats the header")
async def page_break(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, f"r-1,2001,CN1,500\n{HEADER}")


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


@row("this line is no header, no column of it is known")
async def no_header(stage: Stage) -> Sequence[Told]:
    return await complaint_about(stage, b"r-1,2001,CN1,500\n")


@row("this line is above the header")
async def above(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, "r-1,2001,CN1,500", header=f"r-0,2001,CN0,500\n{HEADER}")


@row("the names of all columns are in one cell")
async def one_cell(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, '"r-1,2001,CN1,500"', header=f'"{HEADER}"')


@row("save it as UTF-8 (Excel: 'CSV UTF-8')")
async def other_file(stage: Stage) -> Sequence[Told]:
    workbook, text = b"PK\x03\x04\x14\0", f"{HEADER}\nr-1,2001,CN1,\u20b9500\n"
    files = (
        workbook,
        b"\xd0\xcf\x11\xe0",
        b"<table>",
        text.encode("utf-16"),
        text.replace("\u20b9", "\xa3").encode("cp1252"),
    )
    return [said for data in files for said in await complaint_about(stage, data)]


@row("a quote is opened in this row and never closed")
async def open_quote(stage: Stage) -> Sequence[Told]:
    return await complaint(stage, 'r-1,2001,"CN1,500')


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
