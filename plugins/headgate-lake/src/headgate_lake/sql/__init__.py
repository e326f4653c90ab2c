"""SQL over the lake: each query runs in a process of its own, which may read the lake and no more.

`runner` is the entry: `Runner.run` takes a `Query` and returns an `Answer`. It holds a `slots.Slot`
while the query runs, talks to a `process.Child` in the messages of `wire`, and makes `errors` of
what the child reports. `child` is the program of that process; it imports DuckDB, which nothing
else here does. `guard` accepts one SELECT of a user's SQL, `views` and `catalogue` say what a query
can read. `command`, `shell` and `output` are ``gateway sql``; `admin` is ``POST /admin/sql``.
"""
