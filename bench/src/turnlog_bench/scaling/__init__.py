"""Curves: how a figure moves when one thing grows. Measured by `measure`, kept in `bench/scaling.json`, drawn and put
into `docs/scaling.md` by `turnlog_bench.pictures`."""
