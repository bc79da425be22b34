"""Rate and concurrency limits, polling, bulk jobs, and the table of failures; independent of single EnKash calls."""
