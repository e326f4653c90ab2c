"""Several processes that are one gateway: ``server.workers = N``.

Structure
---------
``gateway serve`` is then a *supervisor* and handles no events. It holds the lock of the data
directory, binds the sockets, and starts N *workers* by executing the program again. Each worker is
a complete gateway with its own shard (`gateway.config.data_dir`), and also delivers what earlier
workers left in their shards. With one worker and one shard there is no supervisor and none of this.

    supervisor ── lock, sockets, back-off, rolling restart
      ├─ worker 0 ── shard 0: intake, queue, state, destinations   (and shard 2, delivery only)
      └─ worker 1 ── shard 1: intake, queue, state, destinations

**Sockets** (`listeners`). On Linux each worker has its own socket on one port (SO_REUSEPORT), and
the kernel spreads connections over them. Elsewhere the kernel does not, and all workers accept from
one socket. The supervisor keeps every socket open and every worker inherits all of them: while a
worker is down, the others accept its connections, so that a restart refuses none.

**Control** (`protocol`). A socket pair between supervisor and worker carries JSON lines: the worker
reports that it is ready, the supervisor assigns sockets. If the supervisor ends in any way, the
pair closes, and the worker drains and ends. Workers inherit the lock, so that the next supervisor
begins only after the last worker has ended.

**Crash** (`supervisor`, `restarts`). A worker that ends unasked is restarted after a delay that
doubles up to a bound, with jitter. No acknowledged event is lost, as the shard is on disk. A worker
that fails during the first start makes the start fail.

**De-duplication** (`dedup_sync`). Each worker tells the others the message ids that it has
*stored*, within milliseconds and outside the path of an event; at its start it reads those of all
shards. Ids that were accepted but not stored are never announced, so that after a crash a resend is
not refused. Two cases remain in which both copies of an event are stored: they reach two workers
within those milliseconds, or the worker of the first copy stores it and dies before announcing it.
The copies have different offsets; destinations that go by message id count them once.

**One view** (`view`, `fan_out`). Every worker answers for its shards on a Unix socket that only the
user of the gateway can reach. The worker that receives a request for /health, /metrics or /admin
asks all workers and merges the answers. While a worker is down, its files are read instead where
they have the answer. The supervisor answers commands of the machine in the same way.
"""
