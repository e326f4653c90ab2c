"""Several processes that are one gateway: ``server.workers = N``.

Shape
-----
``gateway serve`` is then a *supervisor*, which touches no event. It holds the data directory's
lock, binds the sockets, and starts N *workers* by executing the program anew; each is a whole
gateway with a shard of its own (`gateway.config.data_dir`), and delivers what workers that are no
more have left in theirs. With one worker and one shard there is no supervisor and none of this.

    supervisor ── lock, sockets, back-off, rolling restart
      ├─ worker 0 ── shard 0: intake, queue, state, destinations   (and shard 2, delivery only)
      └─ worker 1 ── shard 1: intake, queue, state, destinations

**Sockets** (`listeners`). On Linux each worker has a socket of its own on one port (SO_REUSEPORT)
and the kernel spreads connections; elsewhere, where it would not, all take from one. The supervisor
keeps every socket open, and every worker inherits all of them: while a worker is down the others
take its connections too, so that a restart refuses none.

**Control.** Between supervisor and worker is a socket pair with JSON lines: the worker says that it
is ready, the supervisor which sockets to take from. Its end tells a worker that the supervisor is
gone, however that came about: it drains and ends. The lock is inherited, so that the next
supervisor begins when the last worker has let go.

**Crash.** A worker that ends without having been asked to is started again after a delay that
doubles up to a bound, with jitter (`Restarts`). Nothing acknowledged is lost: its shard is on disk.
One that does not come up at the very start stops the start.

**De-duplication** (`announce`). Each worker tells the others the message ids that it has *stored*,
within some milliseconds and away from the road of an event; at its start it reads those of all
shards. An id that was taken up and not stored is never told, so that a crash in between refuses no
resend. What remains: two copies that reach two workers within those milliseconds, or the second
after the first one's worker stored it and died before telling, are both stored. Their offsets
differ; destinations that go by the message id count them once.

**One view** (`view`, `merge`). Every worker answers the shards it runs on a Unix socket of its own,
which only the gateway's user can reach. Whichever worker is asked for /health, /metrics or /admin
asks all and puts the answers together. What is in files is read from there where a worker is down.
"""
