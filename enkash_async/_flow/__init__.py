"""Rate and concurrency limits, polling, bulk jobs, and the table of failures; knows no single EnKash call."""
